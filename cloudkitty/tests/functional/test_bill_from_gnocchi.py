# SPDX-License-Identifier: Apache-2.0
"""A bill out of a real Gnocchi, which ``CLOUDKITTY_TEST_GNOCCHI`` names, with the metrics file that
is shipped and resources as Ceilometer makes them, through the commands that an operator runs;
every amount is worked out by hand below."""

import datetime
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pytest

from cloudkitty import period
from cloudkitty.tests.functional import billing, commands
from cloudkitty.tests.functional.gnocchi import GnocchiServer

DAY = datetime.datetime(2020, 5, 4, tzinfo=period.UTC)
HOURS = 3
STEP = datetime.timedelta(minutes=5)

STEPS = range(HOURS * 12)
"""A sample every five minutes, as agents poll: 0 is 00:00, 12 is 01:00, 35 is 02:55."""

LOW = "ceilometer-low"
RATE = "ceilometer-low-rate"

MB = 1_000_000
MIB = 1 << 20
GIB = 1 << 30

TYPES: Mapping[str, Mapping[str, str]] = {
    "instance": dict.fromkeys(
        (
            "display_name",
            "host",
            "image_ref",
            "flavor_id",
            "flavor_name",
            "server_group",
            "availability_zone",
        ),
        "string",
    ),
    "instance_network_interface": {"instance_id": "uuid", "name": "string"},
    "image": dict.fromkeys(("name", "container_format", "disk_format"), "string"),
    "volume": dict.fromkeys(("display_name", "volume_type", "image_id", "instance_id"), "string"),
    "network": dict.fromkeys(("floating_ip_address", "status", "floating_network_id"), "string"),
    "loadbalancer": dict.fromkeys(
        ("name", "display_name", "vip_address", "provider", "operating_status"), "string"
    ),
    "ceph_account": {},
    "swift_account": {},
    "manila_share": dict.fromkeys(("name", "host", "status", "protocol"), "string"),
    "dns_zone": dict.fromkeys(("zone_name", "email", "zone_type", "pool_id"), "string"),
}
"""As they are there after Ceilometer has made them."""

BILL: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "shop": {
        # The first server: 3 h small at 0.02. The second: 00:30 to 01:30, large at 0.08.
        "instance": ("4", "0.14"),
        # 3 h of 1, and 1 h of 4, at 0.001.
        "vcpus": ("7", "0.007"),
        # 3 h of 2048, and 1 h of 8192, which costs nothing.
        "memory": ("14336", "0"),
        # 10 GiB that have become 100 at 00:05: 92.5 + 100 + 100 at the 0.0001 of ssd; and
        # 5 GiB from 00:30 on: 2.5 + 5 + 5 at the 0.00002 of hdd: 0.02925 + 0.00025.
        "volume.size": ("305", "0.0295"),
        # 5 GiB for 3 h and 8 GiB for 3 h, both at 0.00005.
        "volume.snapshot.size": ("15", "0.00075"),
        "volume.backup.size": ("24", "0.0012"),
        # 40 MiB for 3 h at 0.000001.
        "image.size": ("120", "0.00012"),
        # One for 3 h; another, which is down, from 01:00 to 01:30: 3.5 h at 0.005.
        "ip.floating": ("3.5", "0.0175"),
        # 20 MB a step: eleven steps since the first reading, twelve, and eleven after the counter
        # has started again at 02:00: 680 MB at 0.001.
        "network.outgoing.bytes": ("680", "0.68"),
        # 1 MB a step, which costs nothing: eleven, twelve and twelve.
        "network.incoming.bytes": ("35", "0"),
        # Online, then offline: 3 h at 0.03.
        "loadbalancer": ("3", "0.09"),
        # 4 GiB for 3 h and 2 GiB for 3 h, both at 0.0002.
        "radosgw.objects.size": ("12", "0.0024"),
        "storage.objects.size": ("6", "0.0012"),
        # 20 GiB from 02:00 on at 0.0003.
        "manila.share.size": ("20", "0.006"),
        # 3 h at 0.001.
        "dns.zone": ("3", "0.003"),
    },
    # 3 h small at the 0.015 of this project.
    "blog": {"instance": ("3", "0.045")},
}

PRICES = {
    "vcpus": "0.001",
    "volume.snapshot.size": "0.00005",
    "volume.backup.size": "0.00005",
    "image.size": "0.000001",
    "ip.floating": "0.005",
    "network.outgoing.bytes": "0.001",
    "loadbalancer": "0.03",
    "radosgw.objects.size": "0.0002",
    "storage.objects.size": "0.0002",
    "manila.share.size": "0.0003",
    "dns.zone": "0.001",
}

Values = Mapping[int, object]


class Resource(NamedTuple):
    """A resource, and what its metrics say at each step."""

    kind: str
    metrics: Mapping[str, Values]
    attributes: Mapping[str, object] = {}
    policy: str = LOW


def steady(value: object, steps: Sequence[int] = STEPS) -> Values:
    return dict.fromkeys(steps, value)


def server(flavor: str, number: int, memory: int, steps: Sequence[int] = STEPS) -> Resource:
    metrics = {
        "cpu": {step: 1000 * step + 1 for step in steps},
        "vcpus": steady(number, steps),
        "memory": steady(memory, steps),
    }
    return Resource("instance", metrics, {"flavor_name": flavor, "display_name": "web"}, RATE)


def blog() -> list[Resource]:
    one = server("m1.small", 1, 2048)
    return [one._replace(metrics={"cpu": one.metrics["cpu"]})]


def shop() -> list[Resource]:
    sent = {step: (20 * step if step < 24 else 5 + 20 * (step - 24)) * MB for step in STEPS}
    received = {step: step * MB for step in STEPS}
    traffic = {"network.outgoing.bytes": sent, "network.incoming.bytes": received}
    return [
        server("m1.small", 1, 2048),
        server("m1.large", 4, 8192, range(6, 18)),
        Resource("instance_network_interface", traffic, {"name": "tap0"}, RATE),
        Resource("volume", {"volume.size": {**steady(100), 0: 10}}, {"volume_type": "ssd"}),
        Resource("volume", {"volume.size": steady(5, STEPS[6:])}, {"volume_type": "hdd"}),
        Resource("volume", {"volume.snapshot.size": steady(5)}, {"display_name": "snapshot"}),
        Resource("volume", {"volume.backup.size": steady(8)}, {"display_name": "backup"}),
        Resource("image", {"image.size": steady(40 * MIB)}, {"disk_format": "qcow2"}),
        Resource("network", {"ip.floating": steady(1)}),
        Resource("network", {"ip.floating": steady(3, STEPS[12:18])}),
        Resource(
            "loadbalancer",
            {"loadbalancer.operating": {**steady(1), **steady(3, STEPS[20:])}},
            {"provider": "amphora"},
        ),
        Resource("ceph_account", {"radosgw.objects.size": steady(4 * GIB)}),
        Resource("swift_account", {"storage.objects.size": steady(2 * GIB)}),
        Resource("manila_share", {"manila.share.size": steady(20, STEPS[24:])}),
        Resource("dns_zone", {"dns.zone.status": steady(1)}, {"zone_name": "example.org."}),
    ]


class Site:
    """A cloud that Gnocchi knows, and a rating service that is set up for it."""

    def __init__(self, gnocchi: GnocchiServer, directory: pathlib.Path) -> None:
        self._gnocchi = gnocchi
        self.projects = {name: f"{name}-{gnocchi.run}" for name in BILL}
        gnocchi.policy(LOW, ("mean",), 300)
        gnocchi.policy(RATE, ("mean", "rate:mean"), 300)
        for name, attributes in TYPES.items():
            gnocchi.resource_type(name, **attributes)
        for name, resources in (("shop", shop()), ("blog", blog())):
            for resource in resources:
                self._make(self.projects[name], resource)
        self.service = billing.Service(
            directory,
            DAY,
            HOURS,
            list(self.projects.values()),
            {
                # The collector is the default one.
                "collect": {"metrics_conf": commands.ROOT / "etc/cloudkitty/metrics.yml"},
                "collector_gnocchi": {
                    "gnocchi_auth_type": "basic",
                    "gnocchi_user": "admin",
                    "gnocchi_endpoint": gnocchi.url,
                },
            },
        )
        self._price(self.service)
        self.rated = self.service.rate()

    def _make(self, project: str, resource: Resource) -> None:
        made = self._gnocchi.resource(
            resource.kind,
            dict.fromkeys(resource.metrics, resource.policy),
            project_id=project,
            user_id=f"{project}-owner",
            **resource.attributes,
        )
        for name, values in resource.metrics.items():
            times = {DAY + step * STEP: value for step, value in values.items()}
            self._gnocchi.measure(made, name, times)

    def _price(self, service: billing.Service) -> None:
        flavor = service.field("instance", "flavor_name")
        service.mapping("0.02", field_id=flavor, value="m1.small")
        service.mapping("0.08", field_id=flavor, value="m1.large")
        blog = self.projects["blog"]
        service.mapping("0.015", field_id=flavor, value="m1.small", tenant_id=blog)
        kind = service.field("volume.size", "volume_type")
        service.mapping("0.0001", field_id=kind, value="ssd")
        service.mapping("0.00002", field_id=kind, value="hdd")
        service.price(PRICES)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(GnocchiServer.named(), tmp_path_factory.mktemp("bill"))
    yield site
    site.service.close()


def test_the_processor_says_that_all_is_well(site: Site) -> None:
    assert (site.rated.code, site.rated.err) == (0, "")


def test_the_ledger_holds_what_was_worked_out_by_hand(site: Site) -> None:
    bill = {site.projects[name]: metrics for name, metrics in BILL.items()}
    assert site.service.ledger() == billing.worked_out(bill)


def test_rating_again_changes_nothing(site: Site) -> None:
    before = site.service.ledger()
    again = site.service.rate()
    assert (again.code, again.err) == (0, "")
    assert " 0 points\n" in again.out
    assert site.service.ledger() == before
