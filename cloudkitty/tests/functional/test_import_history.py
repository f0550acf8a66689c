# SPDX-License-Identifier: Apache-2.0
"""The rated rows of an existing service give, once brought over, the answers that they gave there;
worked out here row by row from what was written."""

import datetime
from collections import defaultdict
from decimal import Decimal

import pytest
import sqlalchemy as sa

from cloudkitty import period
from cloudkitty.dataframe import Registry
from cloudkitty.db.models import scopes
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.importer.source import Source, SourceError
from cloudkitty.period import UTC, Period
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests import api, importing, oldservice
from cloudkitty.tests.importing import bring, killed
from cloudkitty.tests.oldservice import BEGIN, HOUR, OldService, RatedRow, rated_rows, state
from cloudkitty.tests.stored import everything, ledger, wipe

TENANTS = ["alpha", "beta", "0123456789abcdef0123456789abcdef"]
HOURS = 60
WINDOW = "begin=2026-01-01T00:00:00&end=2026-03-01T00:00:00"


@pytest.fixture
def old(database_server, tmp_path):
    """An empty database of the old service, of the same kind as the target."""
    service = OldService(database_server.dialect, tmp_path)
    yield service
    service.drop()


@pytest.fixture
def conf(conf):
    importing.configure(conf)
    return conf


@pytest.fixture
def written(old) -> list[RatedRow]:
    return oldservice.fill(old, TENANTS, HOURS)


def month(row: RatedRow) -> str:
    return f"{row.begin:%Y-%m}"


def sums(rows, *names) -> dict[tuple, tuple[int, Decimal, Decimal]]:
    """Points, quantity and price by group."""
    found = defaultdict(lambda: (0, Decimal(0), Decimal(0)))
    for row in rows:
        key = tuple(getattr(row, name) for name in names)
        points, qty, price = found[key]
        found[key] = (points + 1, qty + row.qty, price + row.rate)
    return dict(found)


# -- the same questions ------------------------------------------------------------------------


@pytest.fixture
def client(conf, database, old, written, tmp_path):
    assert bring(conf, database, old.url).well
    return api.Client.of(api.context(conf, database, tmp_path))


def test_summary_of_version_1(client, written) -> None:
    path = f"/v1/report/summary?{WINDOW}&groupby=tenant_id,res_type&all_tenants=true"
    found = {
        (item["tenant_id"], item["res_type"]): Decimal(item["rate"])
        for item in client.get(path).json["summary"]
    }
    wanted = sums(written, "tenant_id", "res_type")
    assert found == {key: price for key, (_points, _qty, price) in wanted.items()}


def test_total_of_version_1(client, written) -> None:
    answer = client.get(f"/v1/report/total?{WINDOW}&tenant_id=beta").json
    assert Decimal(answer) == sum(row.rate for row in written if row.tenant_id == "beta")


def test_tenants_of_version_1(client) -> None:
    assert client.get(f"/v1/report/tenants?{WINDOW}").json == sorted(TENANTS)


def test_data_frames_of_version_1(client, written) -> None:
    """Every row again, attribute for attribute, but for those that were made of the period."""
    answer = client.get(f"/v1/storage/dataframes?{WINDOW}").json["dataframes"]
    found = [
        (
            frame["tenant_id"],
            frame["begin"],
            frame["end"],
            resource["service"],
            sorted(resource["desc"].items()),
            Decimal(resource["volume"]),
            Decimal(resource["rating"]),
        )
        for frame in answer
        for resource in frame["resources"]
    ]
    calendar = oldservice.calendar(BEGIN)
    wanted = [
        (
            row.tenant_id,
            row.begin.isoformat(),
            row.end.isoformat(),
            row.res_type,
            sorted((key, value) for key, value in row.desc.items() if key not in calendar),
            row.qty,
            row.rate,
        )
        for row in written
    ]
    assert sorted(found, key=str) == sorted(wanted, key=str)


def test_summary_of_version_2_by_project_and_type(client, written) -> None:
    answer = client.get(f"/v2/summary?{WINDOW}&groupby=project_id,type&limit=1000").json
    found = {
        (project, kind): (Decimal(str(qty)), Decimal(str(rate)))
        for _begin, _end, qty, rate, project, kind in answer["results"]
    }
    wanted = sums(written, "tenant_id", "res_type")
    assert found == {key: (qty, price) for key, (_points, qty, price) in wanted.items()}


def test_summary_of_version_2_by_an_attribute(client, written) -> None:
    answer = client.get(f"/v2/summary?{WINDOW}&groupby=flavor&filters=type:instance").json
    found = {row[-1]: Decimal(str(row[3])) for row in answer["results"]}
    wanted: dict[str, Decimal] = defaultdict(Decimal)
    for row in written:
        if row.res_type == "instance":
            wanted[row.desc.get("flavor", "")] += row.rate
    assert found == wanted


def test_summary_of_version_2_by_day(client, written) -> None:
    answer = client.get(f"/v2/summary?{WINDOW}&groupby=time-d").json
    found = sorted(Decimal(str(row[3])) for row in answer["results"])
    wanted: dict[datetime.date, Decimal] = defaultdict(Decimal)
    for row in written:
        wanted[row.begin.date()] += row.rate
    assert found == sorted(wanted.values())


def test_data_frames_of_version_2(client, written) -> None:
    answer = client.get(f"/v2/dataframes?{WINDOW}&filters=project_id:beta&limit=10000").json
    found = sum(
        Decimal(str(point["rating"]["price"]))
        for frame in answer["dataframes"]
        for points in frame["usage"].values()
        for point in points
    )
    own = [row for row in written if row.tenant_id == "beta"]
    assert answer["total"] == len(own)
    assert found == sum(row.rate for row in own)


# -- what it becomes --------------------------------------------------------------------------


def test_what_stays_the_same_is_one_run(conf, database, old) -> None:
    """The attributes that change with the calendar would cut it each midnight."""
    rows = [row for row in rated_rows(["alpha"], HOURS) if row.desc["id"] == "vm-0"]
    old.add_rated(rows)
    old.add(oldservice.states, state("alpha", BEGIN + (HOURS - 1) * HOUR))
    assert bring(conf, database, old.url).well
    small, large = sorted(ledger(database), key=lambda run: int(run[6]))
    begin = period.epoch(BEGIN.replace(tzinfo=UTC))
    assert small[6:] == (str(begin), str(begin + 20 * 3600), "3600", "1", "0.0125")
    assert large[6:] == (str(begin + 20 * 3600), str(models.OPEN), "3600", "1", "0.1")


def test_it_is_what_rating_these_periods_would_have_made(conf, database, old, written) -> None:
    assert bring(conf, database, old.url, batch=70).well
    brought = ledger(database)
    with database.writer() as connection:
        connection.execute(models.runs.delete())
        connection.execute(models.series.delete())
        connection.execute(scopes.update().values(horizon=None, version=0))
    storage = SqlAlchemyStorage(conf, database, Registry())
    _rate_row_by_row(storage, ScopeStore(database), written)
    assert ledger(database) == brought


def _rate_row_by_row(storage, store: ScopeStore, written) -> None:
    from cloudkitty.dataframe import DataFrame

    calendar = oldservice.calendar(BEGIN)
    registry = Registry()
    for hour in range(HOURS):
        begin = (BEGIN + hour * HOUR).replace(tzinfo=UTC)
        frames = {state: DataFrame(Period(begin, begin + HOUR)) for state in store.find({})}
        by_id = {state.scope.identifier: frame for state, frame in frames.items()}
        for row in written:
            if row.begin == BEGIN + hour * HOUR:
                series = registry.series(
                    row.res_type,
                    unit=row.unit,
                    groupby={k: v for k, v in row.desc.items() if k not in calendar},
                    metadata={},
                )
                by_id[row.tenant_id].add(series, row.qty, row.rate)
        assert not storage.replace(Period(begin, begin + HOUR), frames)


def test_rating_goes_on_where_the_old_service_stopped(conf, database, old) -> None:
    """The same usage one hour later makes the run longer, and no new one."""
    from cloudkitty.dataframe import DataFrame

    rows = [row for row in rated_rows(["alpha"], 3) if row.desc["id"] == "vm-0"]
    old.add_rated(rows)
    old.add(oldservice.states, state("alpha", BEGIN + 2 * HOUR))
    assert bring(conf, database, old.url).well
    before = ledger(database)
    [alpha] = ScopeStore(database).find({})
    assert alpha.horizon == (BEGIN + 3 * HOUR).replace(tzinfo=UTC)
    frame = DataFrame(alpha.following(3600))
    desc = {"id": "vm-0", "flavor": "small", "project_id": "alpha"}
    series = Registry().series("instance", unit="instance", groupby=desc, metadata={})
    frame.add(series, Decimal(1), Decimal("0.0125"))
    storage = SqlAlchemyStorage(conf, database, Registry())
    assert not storage.replace(frame.period, {alpha: frame})
    assert [run[2:] for run in ledger(database)] == [run[2:] for run in before]
    [row] = storage.total(Query(frame.period.begin - 3 * HOUR, frame.period.end)).rows
    assert (row.points, row.price) == (4, Decimal("0.05"))


def test_marks_of_periods_without_usage_are_no_usage(conf, database, old) -> None:
    marks = [
        RatedRow("alpha", begin, begin + HOUR, "None", Decimal(0), "_NO_DATA_", Decimal(0), {})
        for begin in (BEGIN, BEGIN + HOUR)
    ]
    old.add_rated(marks)
    brought = bring(conf, database, old.url)
    assert brought.well
    assert ledger(database) == []
    [alpha] = ScopeStore(database).find({})
    assert alpha.horizon == (BEGIN + 2 * HOUR).replace(tzinfo=UTC)


def test_equal_rows_of_a_period_are_one_point_with_their_sums(conf, database, old) -> None:
    """A service that was killed between storing and noting stored the period once more."""
    [row] = [row for row in rated_rows(["alpha"], 1) if row.desc["id"] == "vm-0"]
    old.add_rated([row, row])
    brought = bring(conf, database, old.url)
    assert brought.well
    assert "merged: 1 rows there" in brought.text
    [run] = ledger(database)
    assert run[-2:] == ("2", "0.025")


def test_doubled_and_single_periods_take_turns(conf, database, old) -> None:
    rows = [row for row in rated_rows(["alpha"], 6) if row.desc["id"] == "vm-0"]
    old.add_rated([*rows, *rows[2:4]])
    assert bring(conf, database, old.url, batch=1).well
    runs = sorted(ledger(database), key=lambda run: int(run[6]))
    assert [(int(run[7]) - int(run[6]), run[9]) for run in runs[:2]] == [(7200, "1"), (7200, "2")]
    assert runs[2][9] == "1"


def test_attributes_that_are_no_map_are_kept(conf, database, old) -> None:
    [row] = [row for row in rated_rows(["alpha"], 1) if row.desc["id"] == "vm-0"]
    old.add_rated([row, row._replace(res_type="other")])
    cut = oldservice.rated.update().where(oldservice.rated.c.res_type == "other")
    old.execute(cut.values(desc='{"id": "cut off'))
    assert bring(conf, database, old.url).well
    assert [run[4] for run in ledger(database) if run[2] == "other"] == [
        '{"desc":"{\\"id\\": \\"cut off","project_id":"alpha"}'
    ]


def test_names_that_differ_in_case_alone_stay_apart(conf, database, old) -> None:
    [row] = [row for row in rated_rows(["alpha"], 1) if row.desc["id"] == "vm-0"]
    old.add_rated(
        [row, row._replace(res_type="Instance"), row._replace(tenant_id="Alpha", rate=Decimal(2))]
    )
    assert bring(conf, database, old.url).well
    found = {(run[0], run[2], run[-1]) for run in ledger(database)}
    assert found == {
        ("alpha", "instance", "0.0125"),
        ("alpha", "Instance", "0.0125"),
        ("Alpha", "instance", "2"),
    }


def test_rows_without_a_scope_have_one_here(conf, database, old) -> None:
    [row] = [row for row in rated_rows(["alpha"], 1) if row.desc["id"] == "vm-0"]
    old.add_rated([row._replace(tenant_id=None)])
    assert bring(conf, database, old.url).well
    assert [run[0] for run in ledger(database)] == ["unknown"]


def test_rows_beyond_the_state_are_not_rated_again(conf, database, old) -> None:
    old.add_rated(rated_rows(["alpha"], 5))
    old.add(oldservice.states, state("alpha", BEGIN + 2 * HOUR))
    brought = bring(conf, database, old.url)
    assert brought.well
    assert "rating goes on behind the rows" in brought.text
    [alpha] = ScopeStore(database).find({})
    assert alpha.horizon == (BEGIN + 5 * HOUR).replace(tzinfo=UTC)


def test_a_price_is_the_shortest_decimal_that_is_stored_so(conf, database, old) -> None:
    """MariaDB keeps prices in single precision, where nine digits are too many."""
    [row] = [row for row in rated_rows(["alpha"], 1) if row.desc["id"] == "vm-0"]
    old.add_rated([row._replace(rate=Decimal("0.123456789"))])
    assert bring(conf, database, old.url).well
    [run] = ledger(database)
    assert run[-1] == ("0.12345679" if old.dialect == "mysql" else "0.123456789")


@pytest.mark.parametrize("database_server", ["mysql"], indirect=True)
def test_a_column_of_double_precision_keeps_fifteen_digits(conf, database, old) -> None:
    """Where an administrator of MariaDB has widened the column."""
    old.execute(sa.text("ALTER TABLE rated_data_frames MODIFY rate DOUBLE NOT NULL"))
    [row] = [row for row in rated_rows(["alpha"], 1) if row.desc["id"] == "vm-0"]
    prices = ["0.123456789012345", "123456789.012345", "0.1", "0.0000123456789"]
    old.add_rated(
        row._replace(rate=Decimal(price), desc={"id": price}, res_type=f"metric-{number}")
        for number, price in enumerate(prices)
    )
    assert bring(conf, database, old.url).well
    assert {run[-1] for run in ledger(database)} == set(prices)


# -- again, and after death ---------------------------------------------------------------------


def test_a_second_run_doubles_nothing(conf, database, old, written) -> None:
    assert bring(conf, database, old.url).well
    before = everything(database)
    again = bring(conf, database, old.url)
    assert again.well
    assert "are here already" in again.text
    assert everything(database) == before


def test_rows_that_came_later_show_as_a_difference(conf, database, old, written) -> None:
    assert bring(conf, database, old.url).well
    row = written[-1]
    old.add_rated([row._replace(begin=row.begin + HOUR, end=row.end + HOUR)])
    again = bring(conf, database, old.url)
    assert not again.well
    assert "1 lines are different" in again.text


def test_a_digit_that_was_lost_here_is_seen(conf, database, old, written) -> None:
    assert bring(conf, database, old.url).well
    with database.writer() as connection:
        key = connection.scalar(
            sa.select(models.runs.c.series_id).order_by(models.runs.c.begin).limit(1)
        )
        run = models.runs.c
        connection.execute(
            models.runs.update()
            .where(run.series_id == key)
            .values(price=Decimal("0.0125000000000000001"))
        )
    again = bring(conf, database, old.url)
    assert not again.well
    assert "DIFFERENT" in again.text


def test_an_import_that_is_killed_goes_on_where_it_was(conf, database, old, written) -> None:
    undisturbed = _imported(conf, database, old.url)
    wipe(database)
    nothing = everything(database)
    database.dispose()
    assert killed(conf, database, old.url, "rules", 1)
    assert everything(database) == nothing
    lengths = []
    for number in (1, 2, 3, 4):
        for where in ("transaction", "commit"):
            database.dispose()
            assert killed(conf, database, old.url, where, number)
            lengths.append(len(ledger(database)))
            assert not any(state.active for state in ScopeStore(database).find({}))
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] < len(undisturbed), "the kills must hit the work"
    assert bring(conf, database, old.url).well
    assert ledger(database) == undisturbed


def _imported(conf, database, url: str) -> list[tuple[str, ...]]:
    assert bring(conf, database, url).well
    return ledger(database)


# -- the source -------------------------------------------------------------------------------


def test_the_source_is_only_read(conf, database, old, written) -> None:
    before = old.checksum()
    bytes_before = old.path.read_bytes() if old.dialect == "sqlite" else b""
    assert bring(conf, database, old.url).well
    assert old.checksum() == before
    if old.dialect == "sqlite":
        assert old.path.read_bytes() == bytes_before


def test_the_source_cannot_be_written(old) -> None:
    source = Source(old.url)
    with pytest.raises(SourceError), source.reading() as connection:
        connection.execute(oldservice.collectors.insert().values(service="a", collector="b"))
        connection.commit()
    source.dispose()
    with old.engine.connect() as connection:
        assert not connection.execute(sa.select(oldservice.collectors)).all()
