# SPDX-License-Identifier: Apache-2.0
"""A bill out of a real metering API, which ``CLOUDKITTY_TEST_CEILOMETER`` names, through the
commands that an operator runs; every amount is worked out by hand below."""

import datetime
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import pytest
import requests

from cloudkitty import money, period
from cloudkitty.rating.hashmap.records import NewThreshold
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.tests.functional import billing, commands, peers
from cloudkitty.tests.functional.billing import Bill
from cloudkitty.tests.functional.live import LiveApi

DAY = datetime.datetime(2020, 5, 4, tzinfo=period.UTC)
HOURS = 3
STEP = datetime.timedelta(minutes=10)

STEPS = range(HOURS * 6)
"""A sample every ten minutes: 0 is 00:00, 6 is 01:00, 17 is 02:50."""

SMALL = {"flavor.id": "2", "flavor.name": "m1.small", "vcpus": "1"}
LARGE = {"flavor.id": "4", "flavor.name": "m1.large", "vcpus": "4"}

MB = 1_000_000

OUT = "network.outgoing.bytes"
IN = "network.incoming.bytes"

BILL: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "shop": {
        # The first server: 1 h + 1 h small at 0.02, then 1 h large at 0.08: 0.12.
        # The second is large, seen from 00:30 to 01:20 and so there until 01:30:
        # 0.5 h + 0.5 h at 0.08: 0.08.
        "instance": ("4", "0.2"),
        # 10 GiB, then 10 for half an hour and 20 for the other, then 20:
        # (10 + 15 + 20) at 0.0001.
        "volume.size": ("45", "0.0045"),
        # 3 h at 0.005.
        "ip.floating": ("3", "0.015"),
        # 00:00 to 00:50, five steps of 20 MB: 100 at 0.001 = 0.1.
        # 00:50 to 01:50, six steps of 50 MB: 300 at 0.001, with 10 % off from 200 on = 0.27.
        # The counter starts again at 5 MB, and five steps of 100 MB: 505 at 0.001, half off
        # from 500 on = 0.2525.
        OUT: ("905", "0.6225"),
        # 5 MB a step, which costs nothing: five, six and six steps.
        IN: ("85", "0"),
    },
    "blog": {
        # 3 h small at the 0.015 of this project.
        "instance": ("3", "0.045"),
        # 5 GiB from 00:30 on: (2.5 + 5 + 5) at 0.0001.
        "volume.size": ("12.5", "0.00125"),
        # Seen from 01:00 to 01:20, so there until 01:30: 0.5 h at 0.005.
        "ip.floating": ("0.5", "0.0025"),
        # 50 MB at 0.001 = 0.05; just the 200 that make it cheaper, at 0.0009 = 0.18;
        # 60 at 0.001 = 0.06.
        OUT: ("310", "0.29"),
    },
}


class Meter(NamedTuple):
    """What a meter says of one resource: the value, and the metadata, of each step."""

    name: str
    resource: str
    values: Mapping[int, object]
    metadata: Mapping[int, Mapping[str, str]] = {}
    kind: str = "gauge"


def counter(*grown: int) -> dict[int, object]:
    """The readings of a counter that grows by so many MB before each step but the first."""
    return {step: sum(grown[:step]) * MB for step in range(len(grown) + 1)}


def usage() -> Mapping[str, Sequence[Meter]]:
    first_hours, last_hour = STEPS[:12], STEPS[12:]
    restarted = counter(*[20] * 5, *[50] * 6)
    restarted |= {12 + step: (5 + 100 * step) * MB for step in range(6)}
    resized = dict.fromkeys(first_hours, SMALL) | dict.fromkeys(last_hour, LARGE)
    return {
        "shop": [
            Meter("instance", "vm-0", dict.fromkeys(STEPS, 1), resized),
            Meter(
                "instance", "vm-1", dict.fromkeys(STEPS[3:9], 1), dict.fromkeys(STEPS[3:9], LARGE)
            ),
            Meter(
                "volume.size", "disk", dict.fromkeys(STEPS[:9], 10) | dict.fromkeys(STEPS[9:], 20)
            ),
            Meter("ip.floating", "address", dict.fromkeys(STEPS, 1)),
            Meter(OUT, "port", restarted, kind="cumulative"),
            Meter(IN, "port", counter(*[5] * 17), kind="cumulative"),
        ],
        "blog": [
            Meter("instance", "vm-0", dict.fromkeys(STEPS, 1), dict.fromkeys(STEPS, SMALL)),
            Meter("volume.size", "disk", dict.fromkeys(STEPS[3:], 5)),
            Meter("ip.floating", "address", dict.fromkeys(STEPS[6:9], 1)),
            Meter(
                OUT,
                "port",
                counter(*[10] * 5, 40, 40, 30, 30, 30, 30, *[10] * 6),
                kind="cumulative",
            ),
        ],
    }


class Site:
    """A cloud with metered usage, and a rating service that is set up for it."""

    def __init__(self, url: str, directory: pathlib.Path) -> None:
        run = uuid.uuid4().hex[:12]
        self.projects = {name: f"{name}-{run}" for name in usage()}
        for name, meters in usage().items():
            self._post(url, self.projects[name], meters)
        self.service = billing.Service(
            directory,
            DAY,
            HOURS,
            list(self.projects.values()),
            {
                "collect": {
                    "collector": "ceilometer",
                    "metrics_conf": commands.ROOT / "etc/cloudkitty/metrics-ceilometer.yml",
                },
                "collector_ceilometer": {"endpoint": url},
                "api": {"host_ip": "127.0.0.1", "port": 0, "workers": 1},
            },
        )
        self._price(self.service)
        self.rated = self.service.rate()

    @staticmethod
    def _post(url: str, project: str, meters: Sequence[Meter]) -> None:
        from ceilometerclient import client

        api = client.Client("2", endpoint=url, token="none")
        for meter in meters:
            samples = [
                {
                    "counter_name": meter.name,
                    "counter_type": meter.kind,
                    "counter_unit": "unit",
                    "counter_volume": value,
                    "resource_id": f"{project}-{meter.resource}",
                    "project_id": project,
                    "user_id": f"{project}-owner",
                    "resource_metadata": dict(meter.metadata.get(step, {})),
                    "timestamp": (DAY + step * STEP).replace(tzinfo=None).isoformat(),
                }
                for step, value in meter.values.items()
            ]
            answer = api.http_client.post(f"/v2/meters/{meter.name}?direct=true", json=samples)
            assert answer.status_code == 201, answer.text

    def _price(self, service: billing.Service) -> None:
        flavor = service.field("instance", "flavor_name")
        service.mapping("0.02", field_id=flavor, value="m1.small")
        service.mapping("0.08", field_id=flavor, value="m1.large")
        blog = self.projects["blog"]
        service.mapping("0.015", field_id=flavor, value="m1.small", tenant_id=blog)
        service.price({"volume.size": "0.0001", "ip.floating": "0.005"})
        traffic = service.service(OUT)
        service.mapping("0.001", service_id=traffic)
        for level, cost in ((200, "0.9"), (500, "0.5")):
            discount = NewThreshold(
                service_id=traffic, level=Decimal(level), cost=Decimal(cost), type=RuleType.RATE
            )
            service.store.create_threshold(discount)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    url = peers.named("CEILOMETER")
    site = Site(url, tmp_path_factory.mktemp("bill"))
    yield site
    site.service.close()


@pytest.fixture(scope="module")
def bill(site: Site) -> Bill:
    """What is worked out above."""
    return billing.worked_out({site.projects[name]: metrics for name, metrics in BILL.items()})


def test_the_processor_says_that_all_is_well(site: Site) -> None:
    assert (site.rated.code, site.rated.err) == (0, "")


def test_the_ledger_holds_what_was_worked_out_by_hand(site: Site, bill: Bill) -> None:
    assert site.service.ledger() == bill


def test_the_api_answers_what_was_worked_out_by_hand(site: Site, bill: Bill) -> None:
    api = LiveApi(site.service.config)
    window = {"begin": "2020-05-04T00:00:00", "end": "2020-05-04T03:00:00"}
    try:
        for (project, metric), (_, price) in bill.items():
            asked = {**window, "tenant_id": project, "service": metric}
            answer = requests.get(f"{api.url}/v1/report/total", params=asked, timeout=60)
            assert (project, metric, money.amount(answer.json())) == (project, metric, price)
        asked = {**window, "all_tenants": "true"}
        answer = requests.get(f"{api.url}/v1/report/total", params=asked, timeout=60)
        # 0.2 + 0.0045 + 0.015 + 0.6225 = 0.842 and 0.045 + 0.00125 + 0.0025 + 0.29 = 0.33875.
        assert money.amount(answer.json()) == Decimal("1.18075")
    finally:
        api.stop()


def test_rating_again_changes_nothing(site: Site, bill: Bill) -> None:
    again = site.service.rate()
    assert (again.code, again.err) == (0, "")
    assert " 0 points\n" in again.out
    assert site.service.ledger() == bill
