# SPDX-License-Identifier: Apache-2.0
"""Bills out of a real Prometheus with the metrics files that are shipped, through the commands
that an operator runs. What Ceilometer (through sg-core), openstack-exporter and libvirt's exporter
publish is recorded in their form; every amount is worked out by hand below."""

import pathlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

import pytest

from cloudkitty.tests.functional import billing, commands, tsdb
from cloudkitty.tests.functional.tsdb import DAY, every

HOURS = 2
BEGIN, END = "00:00:00", "02:00:00"
SHOP, BLOG = "e56191ef77744c599dbcecae6af176bb", "bc25bb8f9160407ca2fdb65c5380c7f8"
MB, MIB, GIB = 10**6, 2**20, 2**30

Samples = Mapping[float, object]

PRICES: Mapping[str, str] = {
    "vcpus": "0.01",
    "memory": "0.000001",
    "volume.size": "0.0001",
    "snapshot.size": "0.00005",
    "backup.size": "0.00003",
    "image.size": "0.00001",
    "ip.floating": "0.005",
    "network.incoming.bytes": "0",
    "network.outgoing.bytes": "0.001",
    "radosgw.objects.size": "0.00002",
    "storage.objects.size": "0.00004",
    "loadbalancer": "0.02",
    "share.size": "0.0002",
    "dns.zone": "0.0007",
}
"""What one costs in an hour, or one MB does. Servers cost 0.02 if small and 0.08 if large."""


def all_day(value: object = 1) -> Samples:
    return every(60, BEGIN, END, value)


def both(*parts: Samples) -> Samples:
    return {at: value for part in parts for at, value in part.items()}


def counter(*, step: int) -> Samples:
    """Grows by *step* each minute, from ten minutes before the first hour on."""
    return {60.0 * minute: (minute + 10) * step for minute in range(-10, 120)}


def restarted(*, step: int) -> Samples:
    """The same, but it starts again at half past, with half a step."""
    again = {60.0 * minute: step // 2 + (minute - 30) * step for minute in range(30, 120)}
    return both(counter(step=step), again)


def ceilometer() -> str:
    """What sg-core publishes about two projects."""
    recording = tsdb.Recording()

    def add(project: str, meter: str, unit: str, resource: str, at: Samples, **more: str) -> None:
        parts = meter.split(".")
        labels = {
            parts[0]: parts[2] if len(parts) > 2 else resource,
            "publisher": "telemetry.publisher.controller-0.redhat.local",
            "type": parts[1] if len(parts) > 1 else parts[0],
            "counter": meter,
            "project": project,
            "project_name": "test_project",
            "user": "3ee72fcd74aa4439bb07fa69f1bc7169",
            "user_name": "test_user",
            "unit": unit,
            "resource": resource,
            "job": "sg-core",
            "instance": "127.0.0.1:3000",
        }
        recording.add(f"ceilometer_{meter.replace('.', '_')}", labels | more, at)

    def server(project: str, name: str, flavor: str, at: Samples, host: str = "compute-0") -> None:
        more = {"flavor_name": flavor, "flavor_id": flavor[:1], "vm_instance": host}
        more["resource_name"] = f"{name}:instance-{name}"
        add(project, "cpu", "ns", name, at, **more)
        size = 4 if flavor == "large" else 1
        add(project, "vcpus", "vcpu", name, dict.fromkeys(at, size), **more)
        add(project, "memory", "MB", name, dict.fromkeys(at, 2048 * size), **more)

    # It moves to another host, and is resized on the hour.
    server(SHOP, "vm-0", "small", every(60, BEGIN, "00:30:00"))
    server(SHOP, "vm-0", "small", every(60, "00:30:00", "01:00:00"), "compute-1")
    server(SHOP, "vm-0", "large", every(60, "01:00:00", END))
    server(SHOP, "vm-1", "large", every(60, "00:30:00", END))
    server(BLOG, "vm-2", "small", all_day())
    grown = both(every(60, BEGIN, "01:00:00", 10), every(60, "01:00:00", END, 20))
    add(SHOP, "volume.size", "GB", "disk", grown)
    add(BLOG, "volume.size", "GB", "other-disk", all_day(7))
    add(SHOP, "volume.snapshot.size", "GB", "snapshot", every(60, "01:30:00", END, 5))
    add(SHOP, "volume.backup.size", "GB", "backup", all_day(4))
    add(SHOP, "image.size", "B", "image", all_day(40 * MIB))
    # A sample stands for the five minutes after it: the last for one more instant, 00:25.
    add(SHOP, "ip.floating", "ip", "address", every(60, BEGIN, "00:25:00"))
    port = {"vm_instance": "compute-0", "resource_name": "tapab672ce4-11"}
    add(SHOP, "network.incoming.bytes", "B", "port", counter(step=MB), **port)
    add(SHOP, "network.outgoing.bytes", "B", "port", restarted(step=2 * MB), **port)
    add(SHOP, "radosgw.objects.size", "B", SHOP, all_day(GIB))
    add(SHOP, "storage.objects.size", "B", SHOP, all_day(2 * GIB))
    balancer = {"resource_name": "test-lb", "availability_zone": "nova-az"}
    add(SHOP, "loadbalancer.operating", "status", "balancer", all_day(3), **balancer)
    add(SHOP, "manila.share.size", "GB", "share", all_day(3))
    return recording.text()


CEILOMETER_BILL: Mapping[tuple[str, str], tuple[str, str]] = {
    # vm-0: an hour at 0.02 and one at 0.08; vm-1: 1.5 h at 0.08. 0.1 + 0.12.
    (SHOP, "instance"): ("3.5", "0.22"),
    # 1 and 4, and twice 4: notifications count for the whole hour.
    (SHOP, "vcpus"): ("13", "0.13"),
    (SHOP, "memory"): ("26624", "0.026624"),
    # 10, and 20.
    (SHOP, "volume.size"): ("30", "0.003"),
    # 5 for half an hour.
    (SHOP, "snapshot.size"): ("2.5", "0.000125"),
    (SHOP, "backup.size"): ("8", "0.00024"),
    (SHOP, "image.size"): ("80", "0.0008"),
    # Half an hour: seen at six of twelve instants.
    (SHOP, "ip.floating"): ("0.5", "0.0025"),
    # 60 minutes of 1 MB each hour.
    (SHOP, "network.incoming.bytes"): ("120", "0"),
    # 00:00 to 00:29: 60; 1 after the start, and 29 times 2: 59; then 120.
    (SHOP, "network.outgoing.bytes"): ("239", "0.239"),
    (SHOP, "radosgw.objects.size"): ("2", "0.00004"),
    (SHOP, "storage.objects.size"): ("4", "0.00016"),
    (SHOP, "loadbalancer"): ("2", "0.04"),
    (SHOP, "share.size"): ("6", "0.0012"),
    (BLOG, "instance"): ("2", "0.04"),
    (BLOG, "vcpus"): ("2", "0.02"),
    (BLOG, "memory"): ("4096", "0.004096"),
    (BLOG, "volume.size"): ("14", "0.0014"),
}


def exporters() -> str:
    """What openstack-exporter publishes about two projects, and what the rules have recorded of
    libvirt's counters."""
    recording = tsdb.Recording()
    scraped = {"job": "openstack", "instance": "127.0.0.1:9180"}

    def add(metric: str, at: Samples, **labels: str) -> None:
        recording.add(metric, labels | scraped, at)

    def server(tenant_id: str, name: str, flavor: str, at: Samples, status: str) -> None:
        add(
            "openstack_nova_server_status",
            at,
            address_ipv4="1.2.3.4",
            address_ipv6="80fe::",
            availability_zone="nova",
            flavor_id=flavor,
            host_id="2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6",
            hypervisor_hostname="fake-mini",
            id=name,
            instance_libvirt=f"instance-{name}",
            name=name,
            status=status,
            tenant_id=tenant_id,
            user_id="fake",
            uuid=name,
        )

    # Number 0 is ACTIVE, 16 is SHUTOFF: it exists, however.
    server(SHOP, "vm-0", "small", every(60, BEGIN, "00:40:00", 0), "ACTIVE")
    server(SHOP, "vm-0", "small", every(60, "00:40:00", END, 16), "SHUTOFF")
    server(SHOP, "vm-1", "large", every(60, "00:30:00", END, 0), "ACTIVE")
    server(BLOG, "vm-2", "small", all_day(0), "ACTIVE")
    used = both(every(60, BEGIN, "00:30:00", 1), every(60, "00:30:00", END, 5))
    tenant = {"tenant": "test_project", "tenant_id": SHOP}
    add("openstack_nova_limits_vcpus_used", used, **tenant)
    add("openstack_nova_limits_memory_used", all_day(2048), **tenant)
    add("openstack_cinder_limits_backup_used_gb", all_day(4), **tenant)
    # It is attached at half past.
    for status, at in (
        ("available", every(60, BEGIN, "00:30:00", 10)),
        ("in-use", every(60, "00:30:00", END, 10)),
    ):
        add(
            "openstack_cinder_volume_gb",
            at,
            availability_zone="nova",
            bootable="false",
            id="disk",
            name="test-volume",
            server_id="vm-1" if status == "in-use" else "",
            status=status,
            tenant_id=SHOP,
            user_id="fake",
            volume_type="lvmdriver-1",
        )
    add("openstack_glance_image_bytes", all_day(40 * MIB), id="image", name="F17", tenant_id=SHOP)
    add(
        "openstack_designate_zone_status",
        all_day(1),
        id="zone",
        name="example.org.",
        status="ACTIVE",
        tenant_id=SHOP,
        type="PRIMARY",
    )
    add(
        "openstack_neutron_floating_ip",
        every(60, "01:00:00", END),
        floating_ip_address="203.0.113.50",
        floating_network_id="public",
        id="address",
        project_id=SHOP,
        router_id="router",
        status="ACTIVE",
    )
    add(
        "openstack_loadbalancer_loadbalancer_status",
        all_day(0),
        id="balancer",
        name="best_load_balancer",
        operating_status="ONLINE",
        project_id=SHOP,
        provider="octavia",
        provisioning_status="ACTIVE",
        vip_address="203.0.113.51",
    )
    add(
        "openstack_sharev2_share_gb",
        all_day(3),
        availability_zone="az1",
        id="share",
        name="share-test",
        project_id=SHOP,
        share_proto="NFS",
        share_type="az1",
        share_type_name="",
        status="available",
    )
    for direction, step in (("incoming", MB), ("outgoing", 2 * MB)):
        for tap in ("tapab672ce4-11", "tapab672ce4-12"):
            recording.add(
                f"openstack:network_{direction}_bytes:total",
                {
                    "domain": "instance-00000001",
                    "flavor_name": "large",
                    "instance": "127.0.0.1:9177",
                    "instance_id": "vm-1",
                    "job": "libvirt",
                    "project_id": SHOP,
                    "source_bridge": "brq1df64f1b-d4",
                    "target_device": tap,
                    "user_id": "fake",
                },
                counter(step=step),
            )
    return recording.text()


EXPORTERS_BILL: Mapping[tuple[str, str], tuple[str, str]] = {
    # vm-0: two hours at 0.02; vm-1: 1.5 h at 0.08.
    (SHOP, "instance"): ("3.5", "0.16"),
    # (1 + 5) / 2, and 5.
    (SHOP, "vcpus"): ("8", "0.08"),
    (SHOP, "memory"): ("4096", "0.004096"),
    (SHOP, "volume.size"): ("20", "0.002"),
    (SHOP, "backup.size"): ("8", "0.00024"),
    (SHOP, "image.size"): ("80", "0.0008"),
    (SHOP, "dns.zone"): ("2", "0.0014"),
    (SHOP, "ip.floating"): ("1", "0.005"),
    (SHOP, "loadbalancer"): ("2", "0.04"),
    (SHOP, "share.size"): ("6", "0.0012"),
    # Two interfaces.
    (SHOP, "network.incoming.bytes"): ("240", "0"),
    (SHOP, "network.outgoing.bytes"): ("480", "0.48"),
    (BLOG, "instance"): ("2", "0.04"),
}


class Source(NamedTuple):
    """What is recorded, with which file it is rated, by what servers are priced, and the bill."""

    recorded: str
    metrics: str
    flavor: str
    bill: Mapping[tuple[str, str], tuple[str, str]]


def service(url: str, directory: pathlib.Path, source: Source) -> billing.Service:
    """A rating service that is set up for a Prometheus."""
    made = billing.Service(
        directory,
        DAY,
        HOURS,
        [SHOP, BLOG],
        {
            "collect": {
                "collector": "prometheus",
                "metrics_conf": commands.ROOT / "etc/cloudkitty" / source.metrics,
            },
            "collector_prometheus": {"prometheus_url": url},
        },
    )
    flavor = made.field("instance", source.flavor)
    made.mapping("0.02", field_id=flavor, value="small")
    made.mapping("0.08", field_id=flavor, value="large")
    made.price(PRICES)
    return made


@pytest.fixture(
    params=[
        Source(ceilometer(), "metrics-prometheus.yml", "flavor_name", CEILOMETER_BILL),
        Source(exporters(), "metrics-prometheus-exporters.yml", "flavor_id", EXPORTERS_BILL),
    ],
    ids=["ceilometer", "exporters"],
)
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.param
    return found


@pytest.fixture
def site(source: Source, tmp_path: pathlib.Path) -> Iterator[billing.Service]:
    reason = tsdb.missing()
    if reason:
        pytest.skip(reason)
    server = tsdb.Server(tmp_path, source.recorded)
    site = service(server.url, tmp_path, source)
    yield site
    site.close()
    server.stop()


def test_the_bill_is_what_was_worked_out_by_hand(site: billing.Service, source: Source) -> None:
    rated = site.rate()
    assert (rated.code, rated.err) == (0, "")
    assert site.ledger() == {
        place: (Decimal(qty), Decimal(price)) for place, (qty, price) in source.bill.items()
    }


RULES_TEST = """
rule_files: ["{rules}"]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - series: >-
      libvirt_domain_openstack_info{{domain="d",flavor_name="f",instance="h",instance_id="i",
      instance_name="n",project_id="p",project_name="pn",user_id="u",user_name="un"}}
    values: "1x5"
  - series: >-
      libvirt_domain_interface_stats_{counter}_bytes_total{{domain="d",instance="h",
      source_bridge="b",target_device="t"}}
    values: "0+100x5"
  promql_expr_test:
  - expr: openstack:network_{direction}_bytes:total
    eval_time: 5m
    exp_samples:
    - labels: >-
        openstack:network_{direction}_bytes:total{{domain="d",flavor_name="f",instance="h",
        instance_id="i",project_id="p",source_bridge="b",target_device="t",user_id="u"}}
      value: 500
"""


@pytest.mark.parametrize(
    ("direction", "counter"), [("incoming", "receive"), ("outgoing", "transmit")]
)
def test_the_rules_say_whose_traffic_it_is(
    tmp_path: pathlib.Path, direction: str, counter: str
) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on the path")
    rules = commands.ROOT / "etc/cloudkitty/prometheus-rules.yml"
    written = tmp_path / "test.yml"
    written.write_text(RULES_TEST.format(rules=rules, direction=direction, counter=counter))
    done = subprocess.run(
        ["promtool", "test", "rules", str(written)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
