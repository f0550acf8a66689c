# SPDX-License-Identifier: Apache-2.0
"""How fast points that others have rated come into the ledger by ``POST /v2/dataframes`` (I1).

One client, 1,000 points a request, loopback, no authentication; one hour of the same series after
the other. The ledger's total is checked against an independent sum. The raw limit is decoding the
same bytes; ``by_processor_time`` is what the server would make if it never had to wait.
"""

import argparse
import json
import pathlib
import tempfile
from decimal import Decimal
from fractions import Fraction

import api
import clouds
import common
from oslo_config import cfg

from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.storage import factory
from cloudkitty.storage.base import Query
from cloudkitty.tests.functional.live import LiveApi, write_configuration

POINTS = 1000
SCOPES = 10
TARGET = 30_000


def body(hour: int) -> tuple[object, Fraction]:
    """Return one request, and the sum of its prices."""
    begin = clouds.BEGIN + hour * clouds.HOUR
    points = []
    total = Fraction(0)
    for number in range(POINTS):
        price = f"0.{number + 1:04}{hour % 7 + 1}"
        total += Fraction(price)
        points.append(
            {
                "vol": {"unit": "instance", "qty": 1 + number % 5},
                "rating": {"price": Decimal(price)},
                "groupby": {
                    "id": f"{number:08x}-0000-4000-8000-000000000000",
                    "project_id": f"{number % SCOPES:032x}",
                },
                "metadata": {"flavor": f"flavor-{number % 10}"},
            }
        )
    period = {"begin": begin.isoformat(), "end": (begin + clouds.HOUR).isoformat()}
    return {"dataframes": [{"period": period, "usage": {"instance": points}}]}, total


def measure(conf: cfg.ConfigOpts, database: Database, api_server: LiveApi, requests: int) -> None:
    client = api.Client(api_server.url)
    server = api_server.process.pid
    bodies = [body(hour) for hour in range(requests)]
    texts = [json.dumps(form, default=float).encode() for form, _total in bodies]

    def decode() -> None:
        for text in texts:
            json.loads(text)

    def post() -> None:
        for text in texts:
            client("POST", "/v2/dataframes", text)

    raw = common.seconds(decode)
    before = common.processor_seconds(server)
    taken = common.seconds(post)
    worked = common.processor_seconds(server) - before
    storage = factory.build(conf, database, Registry())
    query = Query(clouds.BEGIN, clouds.BEGIN + requests * clouds.HOUR)
    found = sum((row.price for row in storage.total(query).rows), start=Decimal(0))
    expected = sum((total for _form, total in bodies), Fraction(0))
    if Fraction(found) != expected:
        raise SystemExit(f"wrong: the ledger says {found}, the sum is {expected}")
    points = requests * POINTS
    common.report(
        "I1 points posted, 1,000 a request",
        points / taken,
        "points/s",
        TARGET,
        raw=points / raw,
        by_processor_time=points / worked,
        work=points,
        database=database.dialect,
        total=str(found),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--requests", type=int, nargs="+", default=[5, 50])
    arguments = parser.parse_args()
    for requests in arguments.requests:
        with (
            common.fresh_database(arguments.database) as (conf, database),
            tempfile.TemporaryDirectory() as name,
        ):
            server = LiveApi(write_configuration(pathlib.Path(name), database.url))
            try:
                measure(conf, database, server, requests)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
