# SPDX-License-Identifier: Apache-2.0
"""How fast frames go through one trivial script, in its process and back: small frames of 50
points, where starting a process for each counts, and large ones of 10,000.

Every price is checked.
"""

import common

from cloudkitty import money, period
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.period import Period
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rating.pyscripts.module import Pyscripts
from cloudkitty.rating.pyscripts.records import NewScript
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.state import ModuleStates

BEGIN = period.parse("2026-01-05T10:00:00+00:00")

SCRIPT = """\
for points in data["usage"].values():
    for point in points:
        point["rating"]["price"] = point["vol"]["qty"] * 2
"""

TARGETS = {50: 5_000, 10_000: 20_000}


def frame(count: int) -> DataFrame:
    """Return a frame of that many points, each with five attributes."""
    registry = Registry()
    result = DataFrame(Period.of(BEGIN, 3600))
    for number in range(count):
        series = registry.series(
            "instance",
            unit="instance",
            groupby={"id": f"instance-{number}", "project_id": "p"},
            metadata={"flavor": f"f{number % 20}", "vcpus": "4", "image": f"i{number % 7}"},
        )
        result.add(series, money.amount(number))
    return result


def measure(pipeline: Pipeline, usage: DataFrame, target: float) -> None:
    """Report how many points of *usage* go through the script in a second."""
    count = len(usage)
    if pipeline.rate(usage, "p").price != count * (count - 1):
        raise SystemExit(f"{count} points: the total is wrong")
    taken = common.median_seconds(lambda: lambda: pipeline.rate(usage, "p"), 21)
    common.report(
        f"one script, frame of {count} points",
        count / taken,
        "points/s",
        target,
        frame_ms=taken * 1000,
    )


def main() -> None:
    with common.fresh_database(None) as (conf, database):
        new = NewScript(name="twice", data=SCRIPT)
        ScriptStore(database).create(new, now=BEGIN, user="benchmark")
        ModuleStates(database).set("pyscripts", enabled=True)
        module = Pyscripts(conf, database)
        pipeline = Pipeline(conf, database, {"pyscripts": module})
        pipeline.refresh()
        for count, target in TARGETS.items():
            measure(pipeline, frame(count), target)
        module.runner.close()


if __name__ == "__main__":
    main()
