# SPDX-License-Identifier: Apache-2.0
"""The points that an existing service keeps in InfluxDB give, once brought over, the answers that
they gave there, together with its SQL database or without; with a real server."""

import datetime
from collections import defaultdict
from decimal import Decimal

import pytest
import sqlalchemy as sa

from cloudkitty import period
from cloudkitty.cli import dbsync
from cloudkitty.dataframe import Registry
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.importer.influxdb import usage
from cloudkitty.importer.influxdb.client import Client
from cloudkitty.importer.source import SourceError
from cloudkitty.importer.target import TargetError
from cloudkitty.period import UTC
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests import api, importing, oldservice
from cloudkitty.tests.importing import bring, killed
from cloudkitty.tests.oldinflux import GROUPBY, OldInflux
from cloudkitty.tests.oldservice import BEGIN, HOUR, OldService, RatedRow, rated_rows, state
from cloudkitty.tests.stored import everything, ledger, wipe

TENANTS = ["alpha", "beta", "0123456789abcdef0123456789abcdef"]
HOURS = 60
WINDOW = "begin=2026-01-01T00:00:00&end=2026-03-01T00:00:00"
END = (BEGIN + HOURS * HOUR).replace(tzinfo=UTC)


@pytest.fixture
def conf(conf):
    importing.configure(conf)
    return conf


@pytest.fixture
def influx():
    place = OldInflux.for_tests()
    yield place
    place.drop()


@pytest.fixture
def written(influx) -> list[RatedRow]:
    rows = list(rated_rows(TENANTS, HOURS))
    influx.add(rows)
    return rows


@pytest.fixture
def old(tmp_path):
    """The old service's SQL database, with rules and states, and without rated rows."""
    service = OldService("sqlite", tmp_path)
    oldservice.fill_rules(service)
    last = BEGIN + (HOURS - 1) * HOUR
    service.add(oldservice.states, *(state(tenant, last) for tenant in TENANTS))
    yield service
    service.drop()


def standing(database) -> dict[str, tuple[bool, datetime.datetime | None]]:
    """Whether scopes are rated, and up to when they have been."""
    return {
        one.scope.identifier: (one.active, one.horizon) for one in ScopeStore(database).find({})
    }


# -- the same answers -----------------------------------------------------------------------------


def test_answers_of_the_api(conf, database, influx, written, tmp_path) -> None:
    before = influx.content()
    brought = bring(conf, database, influx.url)
    assert brought.well
    assert "All lines are equal." in brought.text
    assert influx.content() == before, "the source is only read"
    client = api.Client.of(api.context(conf, database, tmp_path))

    answer = client.get(f"/v2/summary?{WINDOW}&groupby=project_id,type&limit=1000").json
    found = {tuple(row[4:]): tuple(map(str, row[2:4])) for row in answer["results"]}
    wanted = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for row in written:
        qty, price = wanted[row.tenant_id, row.res_type]
        wanted[row.tenant_id, row.res_type] = (qty + row.qty, price + row.rate)
    assert {key: tuple(map(Decimal, sums)) for key, sums in found.items()} == wanted

    answer = client.get(f"/v2/dataframes?{WINDOW}&filters=project_id:beta&limit=10000").json
    points = sorted(
        (frame["period"]["begin"][:19], kind, str(point["groupby"]), str(point["metadata"]))
        for frame in answer["dataframes"]
        for kind, many in frame["usage"].items()
        for point in many
    )
    calendar = oldservice.calendar(BEGIN)
    own = [row for row in written if row.tenant_id == "beta"]
    assert points == sorted(
        (
            row.begin.isoformat(),
            row.res_type,
            str({n: row.desc[n] for n in sorted(GROUPBY) if n in row.desc and n not in calendar}),
            str({n: row.desc[n] for n in sorted(row.desc) if n not in GROUPBY}),
        )
        for row in own
    )
    assert answer["total"] == len(own)
    total = client.get(f"/v1/report/total?{WINDOW}&tenant_id=beta").json
    assert Decimal(total) == sum(row.rate for row in own)


def test_scopes_are_known_by_their_points_alone(conf, sqlite_database, influx, written) -> None:
    brought = bring(conf, sqlite_database, influx.url)
    assert brought.text.count("has rated rows and no state: brought over inactive") == 3
    assert standing(sqlite_database) == dict.fromkeys(TENANTS, (False, END))


# -- together with the SQL database ---------------------------------------------------------------


def test_in_either_order(conf, sqlite_database, old, influx, written) -> None:
    assert bring(conf, sqlite_database, old.url).well
    assert standing(sqlite_database) == dict.fromkeys(TENANTS, (True, END))
    assert ledger(sqlite_database) == []
    assert bring(conf, sqlite_database, influx.url).well
    first = ledger(sqlite_database), standing(sqlite_database)
    assert standing(sqlite_database) == dict.fromkeys(TENANTS, (True, END))
    assert bring(conf, sqlite_database, old.url).well
    assert bring(conf, sqlite_database, influx.url).well
    assert (ledger(sqlite_database), standing(sqlite_database)) == first

    wipe(sqlite_database)
    assert bring(conf, sqlite_database, influx.url).well
    assert bring(conf, sqlite_database, old.url).well
    assert (ledger(sqlite_database), standing(sqlite_database)) == first


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_horizon_is_never_before_the_end_of_history(
    hours, conf, sqlite_database, tmp_path, influx, written
) -> None:
    """A service that was killed had stored a period and not noted it; another rated on without
    usage."""
    old = OldService("sqlite", tmp_path)
    last = BEGIN + (HOURS - 1 + hours) * HOUR
    old.add(oldservice.states, *(state(tenant, last) for tenant in TENANTS))
    assert bring(conf, sqlite_database, old.url).well
    assert bring(conf, sqlite_database, influx.url).well
    expected = max(END, (last + HOUR).replace(tzinfo=UTC))
    assert standing(sqlite_database) == dict.fromkeys(TENANTS, (True, expected))
    first = ledger(sqlite_database)

    wipe(sqlite_database)
    assert bring(conf, sqlite_database, influx.url).well
    assert bring(conf, sqlite_database, old.url).well
    assert standing(sqlite_database) == dict.fromkeys(TENANTS, (True, expected))
    assert ledger(sqlite_database) == first
    old.drop()


def _rate_on(conf, database, hours: int) -> None:
    """Let this service rate what goes on as it was: one instance of alpha."""
    from cloudkitty.dataframe import DataFrame

    storage = SqlAlchemyStorage(conf, database, Registry())
    for _hour in range(hours):
        [alpha] = ScopeStore(database).find({"identifier": ["alpha"]})
        frame = DataFrame(alpha.following(3600))
        groupby = {"id": "vm-0", "project_id": "alpha"}
        metadata = {"flavor": "large"}
        series = Registry().series(
            "instance", unit="instance", groupby=groupby, metadata=metadata, description=None
        )
        frame.add(series, Decimal(1), Decimal("0.1"))
        assert not storage.replace(frame.period, {alpha: frame})


def test_history_comes_while_this_service_rates_on(conf, database, old, influx, written) -> None:
    """The ledger is the one that bringing history over first would have made."""
    assert bring(conf, database, old.url).well
    assert bring(conf, database, influx.url).well
    _rate_on(conf, database, 3)
    first = ledger(database), standing(database)
    wipe(database)
    assert bring(conf, database, old.url).well
    _rate_on(conf, database, 3)
    assert bring(conf, database, influx.url).well
    assert (ledger(database), standing(database)) == first
    assert bring(conf, database, influx.url).well, "what is rated here is no difference"


def test_rows_of_both_storages(conf, sqlite_database, tmp_path, influx) -> None:
    """A cloud that had the storage of version 1 before keeps both histories, in either order."""
    rows = list(rated_rows(["alpha"], HOURS))
    middle = BEGIN + 30 * HOUR
    old = OldService("sqlite", tmp_path)
    old.add_rated(row for row in rows if row.begin < middle)
    old.add(oldservice.states, state("alpha", BEGIN + (HOURS - 1) * HOUR))
    influx.add(row for row in rows if row.begin >= middle)
    results = []
    for urls in ((old.url, influx.url), (influx.url, old.url)):
        wipe(sqlite_database)
        for url in (*urls, *urls):
            brought = bring(conf, sqlite_database, url)
            assert brought.well, brought.text
        results.append((ledger(sqlite_database), standing(sqlite_database)))
    assert results[0] == results[1]
    assert results[0][1] == {"alpha": (True, END)}
    old.drop()


def test_time_that_was_rated_here_is_not_written_over(
    conf, sqlite_database, tmp_path, influx, written
) -> None:
    old = OldService("sqlite", tmp_path)
    old.add(oldservice.states, state("alpha", BEGIN + (HOURS - 3) * HOUR))
    assert bring(conf, sqlite_database, old.url).well
    _rate_on(conf, sqlite_database, 1)
    before = everything(sqlite_database)
    for dry_run in (True, False):
        with pytest.raises(TargetError, match="has points here from 2026-02-01 10:00:00 UTC on"):
            bring(conf, sqlite_database, influx.url, dry_run=dry_run)
    assert everything(sqlite_database) == before
    old.drop()


def test_an_import_that_is_not_finished_goes_first(conf, sqlite_database, old, influx, written):
    assert bring(conf, sqlite_database, old.url).well
    with sqlite_database.writer() as connection:
        connection.execute(sa.text("UPDATE imports SET finished_at = NULL"))
    with pytest.raises(TargetError, match="go on with that --from first"):
        bring(conf, sqlite_database, influx.url)


def test_other_settings_than_those_of_the_rules_are_refused(
    conf, sqlite_database, old, influx, written
) -> None:
    assert bring(conf, sqlite_database, old.url).well
    conf.set_override("collector", "gnocchi", "collect")
    with pytest.raises(TargetError, match="collector was csv and is gnocchi"):
        bring(conf, sqlite_database, influx.url)


# -- again, and after death -----------------------------------------------------------------------


def test_a_second_run_changes_nothing(conf, sqlite_database, influx, written) -> None:
    assert bring(conf, sqlite_database, influx.url).well
    before = everything(sqlite_database)
    again = bring(conf, sqlite_database, influx.url)
    assert again.well
    assert "scopes are here already" in again.text
    assert everything(sqlite_database) == before


def test_a_dry_run_writes_nothing(conf, sqlite_database, influx, written) -> None:
    before = everything(sqlite_database)
    brought = bring(conf, sqlite_database, influx.url, dry_run=True)
    assert brought.well
    assert ["rated", "rows", str(len(written))] in [x.split() for x in brought.text.splitlines()]
    assert "Nothing has been written (--dry-run)." in brought.text
    assert everything(sqlite_database) == before


def test_an_import_behind_horizons_that_is_killed_goes_on_where_it_was(
    conf, database, old, influx, written
) -> None:
    _die_and_go_on(conf, database, old, influx, with_states=True)


def test_an_import_of_new_scopes_that_is_killed_goes_on_where_it_was(
    conf, sqlite_database, old, influx, written
) -> None:
    _die_and_go_on(conf, sqlite_database, old, influx, with_states=False)


def _die_and_go_on(conf, database, old, influx, *, with_states: bool) -> None:
    _prepare(conf, database, old, with_states)
    assert bring(conf, database, influx.url).well
    undisturbed = ledger(database), standing(database)
    _prepare(conf, database, old, with_states)
    lengths = []
    for number in (1, 2):
        for where in ("transaction", "commit"):
            database.dispose()
            assert killed(conf, database, influx.url, where, number)
            lengths.append(len(ledger(database)))
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] < len(undisturbed[0]), "the kills must hit the work"
    assert bring(conf, database, influx.url).well
    assert (ledger(database), standing(database)) == undisturbed


def _prepare(conf, database, old, with_states: bool) -> None:
    wipe(database)
    if with_states:
        assert bring(conf, database, old.url).well


def test_what_is_rated_here_stays_when_the_old_service_goes_on(
    conf, sqlite_database, old, influx, written
) -> None:
    """Points that it stores after an import was begun are not brought over, but told of."""
    assert bring(conf, sqlite_database, old.url).well
    _rate_on(conf, sqlite_database, 3)
    assert bring(conf, sqlite_database, influx.url).well
    undisturbed = ledger(sqlite_database)
    wipe(sqlite_database)
    assert bring(conf, sqlite_database, old.url).well
    _rate_on(conf, sqlite_database, 3)
    sqlite_database.dispose()
    assert killed(conf, sqlite_database, influx.url, "commit", 1)
    row = next(row for row in reversed(written) if row.tenant_id == "alpha")
    influx.add([row._replace(begin=row.begin + HOUR, end=row.end + HOUR)])
    again = bring(conf, sqlite_database, influx.url)
    assert not again.well
    assert "lines are different" in again.text
    assert ledger(sqlite_database) == undisturbed


def test_points_that_came_later_show_as_a_difference(conf, sqlite_database, influx, written):
    assert bring(conf, sqlite_database, influx.url).well
    row = written[-1]
    influx.add([row._replace(begin=row.begin + HOUR, end=row.end + HOUR)])
    again = bring(conf, sqlite_database, influx.url)
    assert not again.well
    assert "1 lines are different" in again.text


def test_a_digit_that_was_lost_here_is_seen(conf, sqlite_database, influx, written) -> None:
    """One that the sums of the server itself could not show."""
    assert bring(conf, sqlite_database, influx.url).well
    with sqlite_database.writer() as connection:
        run = models.runs.c
        connection.execute(
            models.runs.update()
            .where(run.price == Decimal("0.0125"))
            .values(price=Decimal("0.0125000000000000001"))
        )
    again = bring(conf, sqlite_database, influx.url)
    assert not again.well
    assert "DIFFERENT" in again.text


# -- what points say ------------------------------------------------------------------------------


def _line(
    tags: str = "type=instance,project_id=alpha,id=a",
    fields: str = 'qty=1,price=0.1,unit="u",groupby="id|project_id",metadata=""',
    hour: int = 0,
) -> str:
    begin = period.epoch((BEGIN + hour * HOUR).replace(tzinfo=UTC))
    return f"dataframes,{tags} {fields} {begin}"


def _stored(database) -> list[tuple[str, ...]]:
    """Attributes, metadata, quantity and price of every run."""
    return [(run[4], run[5], run[9], run[10]) for run in ledger(database)]


def test_a_price_is_the_shortest_text_of_what_is_stored(conf, sqlite_database, influx) -> None:
    prices = ["0.30000000000000004", "0.1", "1e-09", "123456789.012345", "1e+21", "7"]
    influx.write(
        *(
            _line(f"type=metric-{number},project_id=alpha", f"qty={price},price={price}")
            for number, price in enumerate(prices)
        )
    )
    assert bring(conf, sqlite_database, influx.url).well
    for column in (-1, -2):
        assert [Decimal(run[column]) for run in ledger(sqlite_database)] == [*map(Decimal, prices)]


def test_attributes_of_every_kind(conf, sqlite_database, influx) -> None:
    """A tag and a field of one name, a field whose type has changed between shards, attributes
    without value, and some that the point's own lists forget."""
    own = 'qty=1,price=0.1,unit="u",'
    influx.write(
        _line(
            "type=t,project_id=alpha,id=tagged,forgotten\\ tag=a\\,b",
            own + 'groupby="id|project_id|empty",metadata="id|size|none",id="field",size=2.5,'
            'forgotten=true,description="what it is"',
        )
    )
    influx.write(_line("type=t,project_id=alpha", own + 'metadata="size",size="large"', 24 * 14))
    assert bring(conf, sqlite_database, influx.url).well
    assert _stored(sqlite_database) == [
        (
            '{"empty":"","forgotten tag":"a,b","id":"tagged","project_id":"alpha"}',
            '{"forgotten":true,"id":"field","none":null,"size":2.5}',
            "1",
            "0.1",
        ),
        ('{"project_id":"alpha"}', '{"size":"large"}', "1", "0.1"),
    ]
    with sqlite_database.reader() as connection:
        descriptions = connection.execute(sa.select(models.series.c.description)).scalars().all()
    assert sorted(map(str, descriptions)) == ["None", "what it is"]


def test_points_of_nobody_and_of_odd_names(conf, sqlite_database, influx) -> None:
    name = 'it\'s \\"odd\\"'
    influx.write(
        _line("type=t,id=a", "qty=1,price=1"),
        _line(f"type=t,project_id={name.replace(' ', chr(92) + ' ')}", "qty=1,price=1"),
    )
    assert bring(conf, sqlite_database, influx.url).well
    assert set(standing(sqlite_database)) == {"unknown", name}


def test_points_without_an_amount_are_a_failure(conf, sqlite_database, influx) -> None:
    influx.write(
        _line(), _line("type=t,project_id=alpha", "qty=1"), _line("type=u,project_id=alpha")
    )
    brought = bring(conf, sqlite_database, influx.url)
    assert not brought.well
    assert "1 rated rows cannot be kept: None is not a number" in brought.text
    assert "1 lines are different" in brought.text
    assert len(ledger(sqlite_database)) == 2


def test_a_long_time_is_asked_for_piece_by_piece(
    conf, sqlite_database, influx, monkeypatch
) -> None:
    """With gaps of months, and a point at either edge of a piece."""
    hours = [0, 23, 24, 47, 48, 100 * 24, 100 * 24 + 1]
    influx.write(*(_line(hour=hour) for hour in hours))
    asked = []
    known = Client.ask
    monkeypatch.setattr(Client, "ask", lambda self, q: asked.append(q) or known(self, q))
    monkeypatch.setattr(usage, "POINTS_AT_ONCE", 1)
    assert bring(conf, sqlite_database, influx.url).well
    first = period.epoch(BEGIN.replace(tzinfo=UTC))
    begins = [(int(run[6]) - first) // 3600 for run in ledger(sqlite_database)]
    assert begins == [0, 23, 47, 100 * 24]
    read = [question for question in asked if '"groupby"::field' in question]
    assert len(read) == 8, "seven pieces of two weeks, and an hour"


def test_negative_prices(conf, sqlite_database, influx) -> None:
    lines = [
        _line("type=t,project_id=alpha", f"qty=1,price={price}", hour)
        for hour, price in enumerate(["-0.1", "0.1", "-0.3", "0.30000000000000004"])
    ]
    influx.write(*lines)
    assert bring(conf, sqlite_database, influx.url).well


# -- refusals -------------------------------------------------------------------------------------


def test_what_is_not_there_is_named(conf, sqlite_database, influx, written) -> None:
    def refusal(url: str) -> str:
        with pytest.raises(SourceError) as refused:
            bring(conf, sqlite_database, url)
        return str(refused.value)

    assert "database not found: nowhere" in refusal(influx.url.replace(influx.name, "nowhere"))
    assert "retention policy not found: x" in refusal(f"{influx.url}?retention_policy=x")
    influx.query("DROP MEASUREMENT dataframes")
    assert "there are no points in measurement dataframes" in refusal(influx.url)
    secret = refusal("influxdb://user:secret@127.0.0.1:1/old")
    assert "influxdb://127.0.0.1:1/old" in secret
    assert "secret" not in secret


def test_the_command(conf, sqlite_database, influx, written, tmp_path, capsys) -> None:
    """With a configuration that still names the store that it had."""
    path = tmp_path / "import.conf"
    path.write_text(
        f"[database]\nconnection = {conf.database.connection}\n[collect]\ncollector = csv\n"
        f"[fetcher]\nbackend = source\n[storage]\nbackend = influxdb\n"
        f"[storage_influxdb]\ndatabase = {influx.name}\n"
    )
    line = ["--config-file", str(path), "import-cloudkitty", "--from"]
    assert dbsync.main([*line, influx.url]) == 0
    out, error = capsys.readouterr()
    assert "All lines are equal." in out
    assert "Dates of rules" not in out
    assert not error
    assert dbsync.main([*line, f"{influx.url}?retention_policy=x"]) == 1
    out, error = capsys.readouterr()
    assert error.startswith("cloudkitty-dbsync: --from: influxdb://")
    assert (out, error.count("\n")) == ("", 1)


def test_settings_have_to_be_as_they_were(conf, sqlite_database, influx, written) -> None:
    conf.set_override("scope_key", "tenant", "collect")
    with pytest.raises(SourceError, match="points have no tag tenant"):
        bring(conf, sqlite_database, influx.url)
    conf.set_override("scope_key", "project_id", "collect")
    conf.set_override("period", 600, "collect")
    with pytest.raises(Exception, match="is 600, and the newest rated row lasts 3600 seconds"):
        bring(conf, sqlite_database, influx.url)
