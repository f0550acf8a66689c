# SPDX-License-Identifier: Apache-2.0
"""What the checks of ``cloudkitty-status doctor`` make of what they are given."""

import dataclasses
import datetime
import threading
from decimal import Decimal

import pytest

from cloudkitty.collector import metrics
from cloudkitty.collector.metrics import MetricsFile
from cloudkitty.coverage import WHOLE, State, Trouble
from cloudkitty.dataframe import Points, Registry
from cloudkitty.doctor import finding, prices, progress, rated, table, unmatched, usage
from cloudkitty.doctor.bounded import Deadline, TookTooLong, start
from cloudkitty.doctor.examination import last_due
from cloudkitty.doctor.finding import Finding, Level
from cloudkitty.doctor.prices import Module
from cloudkitty.doctor.usage import Sample
from cloudkitty.processor.schedule import Schedule
from cloudkitty.rating.base import Coverage, Target
from cloudkitty.rating.unpriced import Tally, Unpriced
from cloudkitty.scope import Scope, ScopeState
from cloudkitty.tests.builders import HOUR, NEW_YEAR, frame, hour

METRICS = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
    metadata: [flavor_name]
  volume.size:
    unit: GiB
    groupby: [id]
    metadata: [volume_type]
"""


def metrics_file() -> MetricsFile:
    return metrics.read(METRICS, "project_id", lambda extra_args: extra_args)


def told(found: list[Finding], level: Level) -> list[str]:
    return [f"{one.subject}: {one.text}" for one in found if one.level is level]


class TestFindings:
    FOUND = [
        finding.ok("a", "fine"),
        finding.warning("b", "so\n  so"),
        finding.error("c", "bad"),
        finding.warning("d", "so"),
    ]

    def test_the_worst_come_first_each_in_a_line(self) -> None:
        lines = [str(one) for one in finding.shown(self.FOUND, everything=True)]
        assert lines == [
            "error    c: bad",
            "warning  b: so so",
            "warning  d: so",
            "ok       a: fine",
        ]

    def test_what_is_fine_is_shown_on_request(self) -> None:
        assert len(finding.shown(self.FOUND, everything=False)) == 3

    def test_summary(self) -> None:
        assert finding.summary(self.FOUND) == "1 error, 2 warnings, 1 check fine"

    @pytest.mark.parametrize(("count", "code"), [(0, 0), (1, 0), (2, 1), (3, 2)])
    def test_the_worst_is_the_exit_code(self, count: int, code: int) -> None:
        assert finding.worst(self.FOUND[:count]) == code

    def test_data(self) -> None:
        data = finding.as_data(self.FOUND, everything=False)
        assert (data["errors"], data["warnings"], data["ok"]) == (1, 2, 1)
        assert data["findings"][1] == {"level": "warning", "subject": "b", "text": "so so"}


class TestBounds:
    def test_what_is_returned_and_raised_comes_through(self) -> None:
        deadline = Deadline(10)
        assert deadline.call(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            deadline.call(lambda: 1 // 0)
        with pytest.raises(TimeoutError, match="its own"):
            deadline.call(lambda: (_ for _ in ()).throw(TimeoutError("its own")))

    def test_what_hangs_is_given_up(self) -> None:
        release = threading.Event()
        with pytest.raises(TookTooLong):
            Deadline(10).call(release.wait, 0.01)
        with pytest.raises(TookTooLong):
            Deadline(0).call(release.wait)
        release.set()

    def test_a_gate_lets_so_many_through(self) -> None:
        gate, release, inside = threading.Semaphore(2), threading.Event(), []

        def work() -> None:
            inside.append(1)
            release.wait(10)

        tasks = [start(work, gate) for _ in range(5)]
        with pytest.raises(TookTooLong):
            Deadline(10).result(tasks[-1], 0.05)
        assert len(inside) <= 2
        release.set()
        for task in tasks:
            task.result(10)
        assert len(inside) == 5


class TestUsage:
    def sample(self, index: int = 1, **attributes: list[str]) -> Sample:
        """One point for each value of the attributes, in one scope."""
        metric = metrics_file().definitions[index]
        registry = Registry()
        shape = registry.shape(metric.shape)
        columns = {"project_id": ["p"], "id": ["1"], **attributes}
        length = max(map(len, columns.values()))
        names = (*shape.groupby, *shape.metadata)
        points = Points()
        for n in range(length):
            values = tuple((columns.get(name, [""]) * length)[n] for name in names)
            points.append(registry.of(shape, values), Decimal(1))
        return Sample(metric, "csv", hour(0), 3, {"p": points, "q": Points()})

    def failed(self, index: int, text: str, whole: bool) -> Sample:
        metric = metrics_file().definitions[index]
        return Sample(metric, "csv", hour(0), 3, {}, text, whole)

    def test_points_are_counted_and_attributes_shown(self) -> None:
        found = list(usage.check([self.sample(volume_type=["a", "b"], id=list("1234"))]))
        assert told(found, Level.WARNING) == []
        [_, text] = told(found, Level.OK)
        assert "4 points" in text
        assert "1 of 3 scopes" in text
        assert "id (4 values), project_id (p), volume_type (a, b)" in text

    def test_an_attribute_that_is_always_empty(self) -> None:
        found = list(usage.check([self.sample(id=["1", "2"])]))
        [text] = told(found, Level.WARNING)
        assert text.startswith(
            "metric volume.size: metadata 'volume_type' is empty on all 2 points"
        )

    def test_an_attribute_that_is_sometimes_empty(self) -> None:
        found = list(usage.check([self.sample(volume_type=["", "ssd"])]))
        assert told(found, Level.WARNING) == []

    def test_a_metric_without_usage(self) -> None:
        sample = Sample(metrics_file().definitions[0], "csv", hour(0), 3)
        [text] = told(list(usage.check([sample])), Level.WARNING)
        assert text.startswith("metric instance: source csv has no usage of 'cpu'")
        assert "for any of 3 scopes" in text

    def test_a_source_that_does_not_answer_is_told_of_once(self) -> None:
        samples = [self.failed(0, "nobody home", True), self.failed(1, "nobody home", True)]
        assert told(list(usage.check(samples)), Level.ERROR) == [
            "source csv: none of 2 metrics could be asked for: nobody home"
        ]

    def test_a_metric_that_fails(self) -> None:
        found = list(usage.check([self.failed(0, "bad row", False), self.sample()]))
        assert told(found, Level.ERROR) == ["metric instance: bad row"]


class TestPrices:
    def check(self, *targets: Target, enabled: bool = True, general: int = 0) -> list[Finding]:
        module = Module("tariff", enabled, Coverage(targets, general))
        return list(prices.check(metrics_file(), [Module("noop", True, Coverage()), module]))

    FLAVOR = Target("instance", "flavor_name", 3, 2)
    VOLUME = Target("volume.size", None, 1, 1)

    def test_every_metric_has_a_price(self) -> None:
        found = self.check(self.FLAVOR, self.VOLUME)
        assert finding.worst(found) is Level.OK

    def test_a_metric_without_price(self) -> None:
        assert told(self.check(self.VOLUME), Level.WARNING) == [
            "metric instance: no enabled module has a rule in force that gives it a price: it "
            "costs 0"
        ]

    def test_rules_that_make_no_price_by_themselves(self) -> None:
        found = self.check(Target("instance", None, 5, 0), self.VOLUME)
        assert len(told(found, Level.WARNING)) == 1

    def test_nothing_has_a_price_is_told_once(self) -> None:
        [text] = told(self.check(), Level.WARNING)
        assert text.startswith("prices: ")
        assert "everything costs 0" in text

    def test_rules_about_anything(self) -> None:
        assert finding.worst(self.check(general=2)) is Level.OK

    def test_a_module_that_does_not_say(self) -> None:
        found = prices.check(metrics_file(), [Module("guest", True, None)])
        assert finding.worst(found) is Level.OK

    def test_a_module_with_rules_that_is_disabled(self) -> None:
        texts = told(self.check(self.FLAVOR, self.VOLUME, enabled=False), Level.WARNING)
        assert texts[0].startswith("tariff: has 4 rules and is disabled")
        assert len(texts) == 2

    @pytest.mark.parametrize(("enabled", "level"), [(True, Level.ERROR), (False, Level.WARNING)])
    def test_a_broken_module(self, enabled: bool, level: Level) -> None:
        found = list(prices.check(metrics_file(), [Module("m", enabled, problem="ImportError: x")]))
        assert any("ImportError: x" in text for text in told(found, level))

    def test_a_service_that_is_no_metric(self) -> None:
        texts = told(
            self.check(self.FLAVOR, self.VOLUME, Target("instanse", None, 1, 1)), Level.WARNING
        )
        assert texts == [
            "tariff: service 'instanse' is no metric of [collect] metrics_conf: did you mean "
            "'instance'?"
        ]

    def test_a_service_called_as_in_the_source(self) -> None:
        [text] = told(self.check(self.FLAVOR, self.VOLUME, Target("cpu")), Level.WARNING)
        assert "the metric 'cpu' is called 'instance' by its alt_name" in text

    def test_a_field_that_is_no_attribute(self) -> None:
        wrong = Target("instance", "flavour_name", 1, 1)
        [unmatched, unpriced] = told(self.check(self.VOLUME, wrong), Level.WARNING)
        assert "field 'flavour_name' of service 'instance' (1 rule)" in unmatched
        assert "did you mean 'flavor_name'?" in unmatched
        assert unpriced.startswith("metric instance: ")


class TestRated:
    def test_points_without_quantity_do_not_count(self) -> None:
        points = [("cpu", {"id": "1"}, 1, 0), ("cpu", {"id": "2"}, 0, 0), ("net", {}, 2, 3)]
        tallies = rated.tally([frame(hour(0), points)])
        assert (tallies["cpu"].used, tallies["cpu"].priced) == (1, 0)
        found = list(rated.judge(tallies, ()))
        [text] = told(found, Level.WARNING)
        assert text.startswith("metric cpu: none of 1 points")
        assert text.endswith("one like id='1'")

    def test_one_price_is_enough(self) -> None:
        points = [("cpu", {"id": "1"}, 1, 0), ("cpu", {"id": "2"}, 1, 2)]
        found = list(rated.judge(rated.tally([frame(hour(0), points)]), ()))
        assert told(found, Level.OK) == ["metric cpu: 1 of 2 points of the last period get a price"]

    def test_what_is_known_to_have_no_price_is_not_told_again(self) -> None:
        tallies = rated.tally([frame(hour(0), [("cpu", {}, 1, 0)])])
        assert list(rated.judge(tallies, ["cpu"])) == []


class TestProgress:
    HERE = Scope("", "project_id", "source", "csv")
    SCHEDULE = Schedule(3600, 2)
    NOW = NEW_YEAR + 10 * HOUR

    def state(
        self,
        name: str,
        hours: int | None = 8,
        *,
        active: bool = True,
        failures: int = 0,
        error: str | None = None,
        fetcher: str = "source",
    ) -> ScopeState:
        return ScopeState(
            id=1,
            scope=Scope(name, "project_id", fetcher, "csv"),
            starts_at=NEW_YEAR,
            horizon=None if hours is None else NEW_YEAR + hours * HOUR,
            version=1,
            active=active,
            toggled_at=NEW_YEAR,
            failures=failures,
            retry_at=self.NOW + HOUR if failures else None,
            last_error=error,
        )

    def check(self, *states: ScopeState, listed: set[str] | None = None) -> list[Finding]:
        known = progress.progress(states, self.SCHEDULE, self.NOW, {})
        return list(progress.check(known, self.HERE, listed))

    def test_up_to_date(self) -> None:
        assert told(self.check(self.state("a"), self.state("b", 6)), Level.OK) == [
            "scopes: 2 active ones are up to date"
        ]

    def test_the_furthest_behind_come_first(self) -> None:
        states = [self.state("a"), self.state("b", None), self.state("c", 3)]
        found = progress.progress(states, self.SCHEDULE, self.NOW, {})
        assert [(one.state.scope.identifier, one.behind) for one in found] == [
            ("b", 8),
            ("c", 5),
            ("a", 0),
        ]

    def test_lagging(self) -> None:
        [text] = told(self.check(self.state("a", 3), self.state("b")), Level.WARNING)
        assert "1 without failure are behind by up to 5 periods (a)" in text

    def test_waiting_for_a_reason(self) -> None:
        states = [self.state("a", 3, error="late usage"), self.state("b", 3, error="late usage")]
        found = self.check(*states, self.state("c"))
        assert [str(one) for one in found] == [
            "warning  scopes: a, b: 5 periods behind: late usage"
        ]

    def test_failures_with_one_reason_are_one_finding(self) -> None:
        states = [self.state(name, 3, failures=4, error="nobody home") for name in "abcde"]
        states.append(self.state("x", 7, failures=1, error="bad price"))
        texts = told(self.check(*states), Level.ERROR)
        assert texts == [
            "scopes: a, b, c and 2 more: 4 failures in a row, 5 periods behind, next try "
            "2026-01-01T11:00:00+00:00: nobody home",
            "scopes: x: 1 failure in a row, 1 period behind, next try "
            "2026-01-01T11:00:00+00:00: bad price",
        ]

    def test_scopes_at_rest_do_not_lag(self) -> None:
        states = [self.state("off", 0, active=False), self.state("gone", 0), self.state("a")]
        found = self.check(*states, listed={"a"})
        assert finding.worst(found) is Level.OK
        assert "1 are no longer listed by the fetcher: gone" in str(found[0])

    def test_scopes_of_an_earlier_configuration(self) -> None:
        found = self.check(self.state("a"), self.state("a", 2, fetcher="keystone"))
        [text] = told(found, Level.WARNING)
        assert "1 are there twice (a): as scopes of fetcher 'keystone'" in text

    def test_nobody_rates(self) -> None:
        [text] = told(self.check(listed={"a", "b"}), Level.WARNING)
        assert "none of 2 that the fetcher lists has been taken up yet" in text

    def test_table(self) -> None:
        error = Trouble("cpu", State.FAILING, NEW_YEAR, NEW_YEAR + HOUR, "two lines")
        whole = dataclasses.replace(error, metric=WHOLE)
        states = [
            self.state("long-name"),
            dataclasses.replace(self.state("b", None, failures=2, error="two\nlines"), id=2),
        ]
        found = progress.progress(states, self.SCHEDULE, self.NOW, {2: [whole, error]})
        assert list(table.lines(found)) == [
            "scope      rated up to           behind  active  state    since                 "
            "metrics  failures  next try              last error",
            "b                                     8  yes     failing  2026-01-01 01:00:00Z  "
            "cpu             2  2026-01-01 11:00:00Z  two lines",
            "long-name  2026-01-01 08:00:00Z       0  yes     closed",
        ]
        assert found[0].as_dict()["metrics"] == [
            {
                "metric": "cpu",
                "state": "failing",
                "since": "2026-01-01T01:00:00+00:00",
                "last_error": "two lines",
            }
        ]


class TestUnmatched:
    def row(self, metric: str, field: str, value: str, points: int) -> Unpriced:
        return Unpriced(metric, field, value, None, NEW_YEAR, NEW_YEAR, points)

    def test_the_values_with_most_points_are_named(self) -> None:
        rows = [self.row("cpu", "flavor", f"f{n}", n) for n in range(1, 6)]
        rows += [self.row("cpu", "zone", "", 15), self.row("disk", "", "", 3)]
        found = Tally(rows, {"cpu": 15, "disk": 3, "known": 9})
        assert told(list(unmatched.check(found, ["known"])), Level.WARNING) == [
            "metric cpu: 15 points of the last 24 periods matched no rule and cost 0 "
            "(flavor: 'f5' 5, 'f4' 4, 'f3' 3 and 2 more; zone: '' 15)",
            "metric disk: 3 points of the last 24 periods matched no rule and cost 0",
        ]

    def test_nothing(self) -> None:
        [found] = unmatched.check(Tally([], {}), ())
        assert found.level is Level.OK

    def test_the_window_ends_now(self) -> None:
        window = unmatched.window(3600, NEW_YEAR + 30 * HOUR)
        assert (window.begin, window.end) == (NEW_YEAR + 6 * HOUR, NEW_YEAR + 30 * HOUR)


@pytest.mark.parametrize(("wait", "expected"), [(0, 9), (1, 9), (2, 8), (5, 5)])
def test_the_last_period_that_is_due_and_has_ended(wait: int, expected: int) -> None:
    now = NEW_YEAR + 10 * HOUR + datetime.timedelta(minutes=10)
    assert last_due(Schedule(3600, wait), now) == hour(expected)
