#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the service for an hour under everything at once, and then check every point of the ledger.

A real cloudkitty-processor rates thousands of scopes from a source that fails every few periods, at
prices that change in every period over the real cloudkitty-api, which answers readers at a steady
rate meanwhile. Periods are short, so that there are many; the first are of the past and are
caught up with. Everything listens on loopback. At the end each period of each scope must be in the
ledger exactly once, with its quantities and prices to the last digit.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import common
from oslo_config import cfg
from soaking import flaps, logs, plot
from soaking.check import Check
from soaking.client import Client
from soaking.cloud import LISTING, METRICS, Cloud
from soaking.flaps import Flap
from soaking.prices import Prices
from soaking.readers import Done, Readers, percentile
from soaking.samples import Sampler, scraped
from soaking.source import Settings

from cloudkitty import money, period
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage import factory
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import LiveApi

HERE = pathlib.Path(__file__).resolve().parent

SAMPLES, PICTURE, REPORT = "samples.csv", "soak.png", "report.json"

DRAIN_PERIODS = 15
"""How long the last periods may take, after all flaps: a scope that has failed may have to wait."""

TAIL_PERIODS = 10
"""Of how many periods, at the beginning and at the end, the memory is told."""


class Soak:
    """One run in one directory."""

    def __init__(
        self,
        options: argparse.Namespace,
        directory: pathlib.Path,
        conf: cfg.ConfigOpts,
        database: Database,
    ) -> None:
        self._options = options
        self._conf = conf
        self._directory = directory
        self._database = database
        seconds = options.period
        self._begin = time.time()
        first = int(self._begin // seconds - options.behind) * seconds
        self._cloud = Cloud(options.scopes, first, seconds)
        self._flaps: list[Flap] = []

    def run(self) -> dict[str, Any]:
        """Do it all, and return the facts."""
        ModuleStates(self._database).set("hashmap", enabled=True)
        (self._directory / "metrics.yml").write_text(METRICS)
        with self._source() as source:
            assert source.stdout is not None
            config = self._configure(source.stdout.readline().strip())
            with self._api(config) as api:
                return self._with_services(config, api, source)

    def _with_services(
        self, config: pathlib.Path, api: LiveApi, source: "subprocess.Popen[str]"
    ) -> dict[str, Any]:
        prices = Prices(Client(api.url), self._cloud)
        prices.create()
        readers = Readers(api.url, self._cloud, self._options.rate, self._options.seed)
        with commands.daemon(config, self._log("processor")) as processor:
            sampler = Sampler(
                cloud=self._cloud,
                database=self._database,
                processes={"processor": processor.pid, "api": api.process.pid},
                numbers=self._numbers,
                readers=readers,
                prices=prices,
                planned=self._flaps,
                path=self._directory / SAMPLES,
                pause=self._options.sample,
            )
            self._await_numbers()
            sampler.start()
            commands.wait_until(
                sampler.has_begun, "every scope has something to show", self._log("processor")
            )
            readers.start()
            self._begin_to_flap(source)
            self._live(prices, readers, sampler)
            readers.stop()
            is_drained = self._drain(sampler)
            sampler.stop()
            numbers = scraped(self._numbers)
            code = commands.stop(processor, 60)
        check = Check(
            cloud=self._cloud,
            prices=prices,
            moves=sampler.moves,
            horizons=sampler.horizons(),
        )
        self._say("checking every point")
        check.ledger(factory.build(self._conf, self._database, Registry()))
        check.answers(Client(api.url))
        problems = self._problems(readers)
        if not is_drained:
            problems.append(f"not all was rated {DRAIN_PERIODS} periods after the end")
        if code:
            problems.append(f"cloudkitty-processor ended with {code}")
        if numbers["cloudkitty_unpriced_points_total"]:
            problems.append(f"{numbers['cloudkitty_unpriced_points_total']} points had no price")
        counted = int(numbers["cloudkitty_points_total"])
        # It may have rated some more after it was asked.
        if counted > check.points:
            problems.append(f"the processor has counted {counted} points, not {check.points}")
        return self._facts(sampler, readers, prices, numbers, check, problems)

    # -- the service -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _source(self) -> "Iterator[subprocess.Popen[str]]":
        """Run the source, which prints its URL."""
        settings = Settings(self._cloud, slow=self._options.period / 20)
        process = subprocess.Popen(
            [sys.executable, "-m", "soaking.source", settings.written()],
            cwd=HERE,
            env={**os.environ, "PYTHONPATH": str(commands.ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _api(self, config: pathlib.Path) -> Iterator[LiveApi]:
        # A file of its own: what it says after its first line nobody would read from a pipe.
        own = config.with_name("api.conf")
        log = f"[DEFAULT]\nlog_file = {self._log('api')}\n"
        own.write_text(config.read_text().replace("[DEFAULT]\n", log, 1))
        self._log("api").touch()
        api = LiveApi(own)
        try:
            yield api
        finally:
            api.stop()

    def _configure(self, source: str) -> pathlib.Path:
        options, port = self._options, commands.free_port()
        self._numbers = f"http://127.0.0.1:{port}/metrics"
        # A period that fails waits no longer than in production, as far as periods are as long.
        retry = max(1, min(10, options.period // 6))
        return commands.write_configuration(
            self._directory / "cloudkitty.conf",
            {
                "DEFAULT": {"auth_strategy": "noauth", "state_path": self._directory},
                "database": {"connection": self._database.url},
                "collect": {
                    "collector": "prometheus",
                    "metrics_conf": self._directory / "metrics.yml",
                    "period": options.period,
                    "wait_periods": 1,
                    "first_period": period.from_epoch(self._cloud.first).isoformat(),
                    "late_data_grace": 10 * options.period,
                },
                "collector_prometheus": {"prometheus_url": source},
                "fetcher": {"backend": "prometheus"},
                "fetcher_prometheus": {
                    "prometheus_url": source,
                    "metric": LISTING,
                    "scope_attribute": "project",
                },
                "orchestrator": {
                    "max_workers": options.workers,
                    "retry_interval": retry,
                    "max_retry_interval": 60 * retry,
                    "metrics_port": port,
                    "metrics_host": "127.0.0.1",
                },
                "api": {"host_ip": "127.0.0.1", "port": 0, "workers": 2},
            },
        )

    def _log(self, name: str) -> pathlib.Path:
        return self._directory / f"{name}.log"

    def _await_numbers(self) -> None:
        """Wait until the processor shows its numbers."""

        def is_up() -> bool:
            try:
                scraped(self._numbers)
            except OSError:
                return False
            return True

        commands.wait_until(is_up, "the processor shows numbers", self._log("processor"))

    def _begin_to_flap(self, source: "subprocess.Popen[str]") -> None:
        """Start the time of the run, and tell the source when to fail in it."""
        assert source.stdin is not None
        self._begin = time.time()
        self._end = self._begin + self._options.duration
        self._flaps += flaps.plan(
            self._begin,
            self._end,
            first=self._cloud.first,
            seconds=self._cloud.seconds,
            every=self._options.flap_every,
            seed=self._options.seed,
        )
        source.stdin.write(json.dumps(self._flaps) + "\n")
        source.stdin.flush()

    # -- the run -----------------------------------------------------------------------------------

    def _live(self, prices: Prices, readers: Readers, sampler: Sampler) -> None:
        """Change a price in the middle of each period, until the time is over."""
        seconds = self._cloud.seconds
        while True:
            now = time.time()
            due = self._cloud.begin(self._cloud.index(now - seconds / 2) + 1) + seconds / 2
            if due >= self._end:
                time.sleep(max(0, self._end - now))
                return
            time.sleep(due - now)
            if sampler.trouble is not None:
                raise sampler.trouble
            prices.change()
            self._progress(prices, readers, sampler)

    def _progress(self, prices: Prices, readers: Readers, sampler: Sampler) -> None:
        sample = sampler.samples[-1]
        flap = flaps.current(self._flaps, time.time())
        self._say(
            f"{(time.time() - self._begin) / 60:.1f} of {self._options.duration / 60:.1f} minutes: "
            f"behind {sample.lag_p50} to {sample.lag_max} periods, {sample.points} points, "
            f"{sample.processor_mib:.0f} and {sample.api_mib:.0f} MiB, p99 {sample.p99_ms:.0f} ms, "
            f"{prices.changes} changes, {sum(readers.problems().values())} bad answers"
            + (f", source: {flap.kind}" if flap else "")
        )

    def _drain(self, sampler: Sampler) -> bool:
        """Wait until every period is rated that has ended within the time; return whether it is."""
        self._say("waiting for the last periods")
        due = self._cloud.begin(self._cloud.index(self._end))
        until = time.time() + max(60, DRAIN_PERIODS * self._cloud.seconds)
        while time.time() < until and sampler.trouble is None:
            if sampler.rated_to[-1][1] >= due:
                return True
            time.sleep(self._options.sample)
        return False

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    # -- the report --------------------------------------------------------------------------------

    def _problems(self, readers: Readers) -> list[str]:
        """Return what nobody should see: bad answers, and errors that no flap had to cause."""
        found = [f"{count} times: {what}" for what, count in readers.problems().most_common()]
        for name in ("processor", "api"):
            found += logs.errors(self._log(name), self._flaps).others
        return found

    def _facts(
        self,
        sampler: Sampler,
        readers: Readers,
        prices: Prices,
        numbers: Mapping[str, float],
        check: Check,
        problems: Sequence[str],
    ) -> dict[str, Any]:
        took = [one.milliseconds for one in readers.since(0)]
        recovered = [sampler.recovery(flap) for flap in self._flaps]
        caught_up = sampler.caught_up()
        lags = sorted(sampler.lags.elements())
        return {
            "name": "soak",
            "database": self._database.dialect,
            "seconds": self._options.duration,
            "scopes": self._cloud.count,
            "period_s": self._cloud.seconds,
            "workers": self._options.workers,
            "periods_of_scopes": check.periods,
            "points": check.points,
            "points_counted_by_processor": int(numbers["cloudkitty_points_total"]),
            "price": exact_text(check.price),
            "wrong": dict(check.wrong),
            "wrong_examples": check.examples,
            "errors": len(problems),
            "error_examples": problems[:20],
            "flaps": len(self._flaps),
            "errors_of_flaps": logs.errors(self._log("processor"), self._flaps).of_flaps,
            "source_requests": int(numbers["cloudkitty_source_requests_total"]),
            "source_failures": int(numbers["cloudkitty_source_failures_total"]),
            "rule_changes": prices.changes,
            "requests": len(took),
            "p50_ms": round(percentile(took, 0.5), 1),
            "p99_ms": round(percentile(took, 0.99), 1),
            "p100_ms": round(max(took), 1),
            "by_kind_ms": by_kind(readers.since(0)),
            "caught_up_s": caught_up and round(caught_up, 1),
            "lag_p50": percentile(lags, 0.5),
            "lag_p99": percentile(lags, 0.99),
            "lag_max": lags[-1] if lags else None,
            "recovery_s": [value and round(value, 1) for value in recovered],
            "processor_mib": self._memory(sampler, "processor_mib"),
            "api_mib": self._memory(sampler, "api_mib"),
            "load": round(statistics.mean(one.load for one in sampler.samples), 2),
            "machine": common.machine(),
        }

    def _memory(self, sampler: Sampler, name: str) -> dict[str, float]:
        """Return the memory in the first periods after the catch-up, in the last ones, and at
        most."""
        minutes = TAIL_PERIODS * self._cloud.seconds / 60
        begin = (sampler.caught_up() or 0) / 60
        end = sampler.samples[-1].minutes
        sizes = [(one.minutes, float(getattr(one, name))) for one in sampler.samples]
        first = [size for at, size in sizes if begin <= at <= begin + minutes]
        last = [size for at, size in sizes if at >= end - minutes]
        return {
            "first": round(statistics.median(first or last), 1),
            "last": round(statistics.median(last), 1),
            "most": round(max(size for _at, size in sizes), 1),
        }


def exact_text(value: Fraction) -> str:
    """Return all digits of a sum of amounts."""
    return money.text(
        money.EXACT.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize()
    )


def by_kind(done: Iterable[Done]) -> dict[str, list[float]]:
    """Return p50 and p99 in milliseconds of each kind of request."""
    took: dict[str, list[float]] = {}
    for one in done:
        took.setdefault(one.kind, []).append(one.milliseconds)
    return {
        kind: [round(percentile(values, share), 1) for share in (0.5, 0.99)]
        for kind, values in sorted(took.items())
    }


def picture(directory: pathlib.Path) -> None:
    """Draw what an earlier run has left."""
    facts = json.loads((directory / REPORT).read_text())
    title = (
        f"{facts['scopes']} scopes, {facts['workers']} workers, periods of {facts['period_s']} s, "
        f"{facts['points']:,} points, {facts['database']}"
    )
    plot.draw(directory / SAMPLES, directory / PICTURE, title)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="One line of JSON goes to the standard output, progress to the standard error. "
        "The exit code is 1 when a request or a line of a log tells of an error that the source "
        "did not have to cause, or a point is wrong.",
    )
    add = parser.add_argument
    add("--duration", type=float, default=3600, metavar="SECONDS", help="how long to run")
    add("--scopes", type=int, default=2000, help="how many projects; each has five resources")
    add("--period", type=int, default=60, metavar="SECONDS", help="[collect] period")
    add("--behind", type=int, default=60, metavar="PERIODS", help="to be caught up with at first")
    add("--workers", type=int, default=4, help="[orchestrator] max_workers")
    add("--rate", type=float, default=50, metavar="REQUESTS", help="of readers, a second")
    add("--flap-every", type=int, default=4, metavar="PERIODS", help="between flaps of the source")
    add("--sample", type=float, default=5, metavar="SECONDS", help="between two looks")
    add("--seed", type=int, default=common.SEED, help="of the readers and the lengths of flaps")
    add(
        "--database",
        metavar="URL",
        help="of a MariaDB or PostgreSQL server with the right to create databases, such as "
        "postgresql://postgres@127.0.0.1/postgres; SQLite in a new directory if there is none",
    )
    add(
        "--output",
        type=pathlib.Path,
        metavar="DIRECTORY",
        help=f"keep {SAMPLES}, {REPORT} and the logs there",
    )
    add("--plot", action="store_true", help=f"draw {PICTURE} in --output, which needs matplotlib")
    add("--only-plot", action="store_true", help="of what an earlier run has left in --output")
    add("--quiet", action="store_true", help="no progress")
    found = parser.parse_args()
    if (found.plot or found.only_plot) and found.output is None:
        parser.error("--plot and --only-plot need --output")
    for name in ("duration", "scopes", "period", "workers", "rate", "flap_every", "sample"):
        if getattr(found, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0")
    return found


def keep(directory: pathlib.Path, output: pathlib.Path, facts: Mapping[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for path in (directory / SAMPLES, *directory.glob("*.log")):
        shutil.copy(path, output)
    (output / REPORT).write_text(json.dumps(facts, indent=1) + "\n")


def main() -> int:
    chosen = options()
    # So that what was started ends with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not chosen.only_plot:
        with common.fresh_database(chosen.database) as (conf, database):
            conf.set_override("period", chosen.period, "collect")
            directory = pathlib.Path(conf.state_path)
            facts = Soak(chosen, directory, conf, database).run()
            if chosen.output:
                keep(directory, chosen.output, facts)
        print(json.dumps(facts), flush=True)
    if chosen.plot or chosen.only_plot:
        picture(chosen.output)
    return int(not chosen.only_plot and bool(facts["errors"] or facts["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
