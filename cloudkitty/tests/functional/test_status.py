# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-status`` as operators run it: what it finds, and with which exit code it ends."""

import json
import pathlib
import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.doctor import examination
from cloudkitty.processor import build
from cloudkitty.rating.hashmap import models as tables
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.pyscripts.records import NewScript
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional import commands, live, peers

HOURS = 5

DOCTOR = ("doctor",)
SCOPES = ("scopes",)
UPGRADE = ("upgrade", "check")

CLOSED = "http://127.0.0.1:9"


class Site:
    """A small cloud whose usage and prices are as they should be, of which a test spoils
    something."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> None:
        cloud.configure(conf, directory, scopes=2, hours=HOURS)
        cloud.price(database)
        self.database = database
        self.directory = directory
        self.config = directory / "cloudkitty.conf"
        self.configure({})

    def configure(self, changes: commands.Sections) -> None:
        usual = cloud.sections(self.database.url, self.directory, hours=HOURS)
        commands.write_configuration(self.config, usual, changes)

    def rate(self) -> None:
        done = commands.run_warm("processor", self.config, "--once")
        assert done.code == 0, done.err

    def run(self, *args: str) -> commands.Done:
        done = commands.run_warm("status", self.config, *args)
        assert "Traceback" not in done.out + done.err
        return done

    def checks(self, code: int) -> str:
        """The details of ``upgrade check``, which the table cuts into lines, and its exit code."""
        assert self.run(*UPGRADE).code == code
        done = self.run(*UPGRADE, "--json")
        assert done.code == code
        details = [check["details"] for check in json.loads(done.out)["checks"]]
        return " ".join(one for one in details if one)

    def finds(self, code: int, *lines: str) -> list[str]:
        """Check the exit code of the doctor, and that it says each of *lines* with its level."""
        done = self.run(*DOCTOR)
        assert done.code == code, done
        assert done.err == ""
        for wanted in lines:
            level, _, text = wanted.partition(" ")
            assert any(line.startswith(level) and text in line for line in done.out.splitlines()), (
                f"{wanted}\n{done.out}"
            )
        return done.out.splitlines()


@pytest.fixture
def site(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> Iterator[Site]:
    yield Site(conf, sqlite_database, tmp_path)


def test_all_is_well_on_every_database(
    conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path
) -> None:
    site = Site(conf, database, tmp_path)
    site.rate()
    database.dispose()
    assert site.finds(0) == ["0 errors, 0 warnings, 14 checks fine"]
    assert site.run(*UPGRADE).code == 0
    rows = site.run(*SCOPES).out.splitlines()
    assert rows[1].split() == ["p0", "2026-01-01", "05:00:00Z", "0", "yes", "closed"]


def test_an_older_schema_on_every_database(
    conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path
) -> None:
    site = Site(conf, database, tmp_path)
    try:
        migration.stamp(database, "0001")
        database.dispose()
        site.finds(2, "error database: ", "error at schema 0001", "error cloudkitty-dbsync upgrade")
        assert "cloudkitty-dbsync upgrade" in site.checks(2)
        assert site.run(*SCOPES).code == 1
    finally:
        # The server is shared: leave it as it was found.
        migration.stamp(database)


class TestDoctor:
    def test_what_is_fine_is_shown_on_request(self, site: Site) -> None:
        site.rate()
        for option in ("--all", "--verbose"):
            done = site.run(*DOCTOR, option)
            assert done.code == 0
            assert "ok       source csv: answers about each of 2 metrics" in done.out
            assert "4 points in [2026-01-01T04:00:00+00:00" in done.out

    def test_nothing_is_written(self, site: Site) -> None:
        site.rate()
        site.database.dispose()
        before = {path: path.stat().st_size for path in site.directory.iterdir()}
        site.run(*DOCTOR)
        after = {path: path.stat().st_size for path in site.directory.iterdir()}
        assert {path for path in after if path not in before} <= {
            site.directory / "cloudkitty.sqlite-shm",
            site.directory / "cloudkitty.sqlite-wal",
        }
        assert all(after[path] == size for path, size in before.items() if path in after)

    def test_json(self, site: Site) -> None:
        done = site.run(*DOCTOR, "--json")
        assert done.code == 1
        data = json.loads(done.out)
        assert (data["errors"], data["warnings"], data["ok"]) == (0, 1, 13)
        [found] = data["findings"]
        assert (found["level"], found["subject"]) == ("warning", "scopes")
        assert "does cloudkitty-processor run?" in found["text"]
        assert len(json.loads(site.run(*DOCTOR, "--json", "--all").out)["findings"]) == 14

    def test_a_configuration_file_that_is_not_there(self, site: Site) -> None:
        site.config.unlink()
        site.finds(2, "error configuration: --config-file: ", f"error {site.config}")
        data = json.loads(site.run(*DOCTOR, "--json").out)
        assert data["errors"] == 1

    def test_every_wrong_value_is_told(self, site: Site) -> None:
        site.configure({"collect": {"period": "often"}, "api": {"port": 99999}})
        site.finds(2, "error [collect] period", "error [api] port")

    @pytest.mark.parametrize(
        ("section", "option"),
        [
            ("database", "max_pool_size"),
            ("oslo_middleware", "max_request_body_size"),
            ("fetcher_keystone", "insecure"),
        ],
    )
    def test_values_of_options_of_libraries(self, site: Site, section: str, option: str) -> None:
        site.configure({section: {option: "maybe"}})
        site.finds(2, f"error [{section}] {option}: ")
        assert option in site.checks(2)

    def test_a_value_of_an_option_that_the_command_line_has_too(self, site: Site) -> None:
        site.configure({"DEFAULT": {"debug": "maybe"}})
        done = site.run(*DOCTOR)
        assert done.code == 2
        assert done.out.startswith("error    configuration: ")
        assert "debug: Invalid Boolean value" in done.err
        assert site.run(*UPGRADE).code == 255
        assert site.run(*SCOPES).code == 1

    def test_a_skip_expression_that_is_none(self, site: Site) -> None:
        site.configure({"orchestrator": {"skip_datapoints_expression": "qty =="}})
        site.finds(2, "error [orchestrator] skip_datapoints_expression")

    def test_options_that_there_are_not(self, site: Site) -> None:
        site.configure({"collect": {"wait_period": 3, "perod": 60}})
        lines = site.finds(
            2, "error [collect] wait_period: no such option; did you mean wait_periods?"
        )
        assert len(lines) == 3

    def test_options_of_other_releases(self, site: Site) -> None:
        site.rate()
        site.configure({"DEFAULT": {"transport_url": "rabbit://"}})
        site.finds(1, "warning [DEFAULT] transport_url has no effect")

    def test_a_directory_of_configuration_files(self, site: Site, tmp_path: pathlib.Path) -> None:
        directory = tmp_path / "conf.d"
        directory.mkdir()
        (directory / "10-more.conf").write_text("[api]\nworker = 3\n")
        done = site.run("--config-dir", str(directory), *DOCTOR)
        assert "[api] worker: no such option; did you mean workers?" in done.out

    def test_plugins_that_there_are_not(self, site: Site) -> None:
        site.configure(
            {
                "collect": {"collector": "cvs"},
                "fetcher": {"backend": "dog"},
                "storage": {"backend": "paper"},
            }
        )
        site.finds(
            2,
            "error [collect] collector: no collector named 'cvs'",
            "error [fetcher] backend: no fetcher named 'dog'",
            "error [storage] backend: no storage named 'paper'",
        )

    def test_a_metrics_file_that_is_not_there(self, site: Site) -> None:
        (site.directory / "metrics.yml").unlink()
        site.finds(2, "error metrics file: [collect] metrics_conf: cannot read")

    def test_every_mistake_of_the_metrics_file(self, site: Site) -> None:
        (site.directory / "metrics.yml").write_text("metrics:\n  a: {}\n  b: {unit: x, what: 1}\n")
        lines = site.finds(2, "error metrics -> a -> unit", "error unknown key 'what'")
        assert len([line for line in lines if "metrics file" in line]) == 2

    def test_a_database_that_does_not_answer(self, site: Site) -> None:
        url = "mysql://somebody:secret@127.0.0.1:9/cloudkitty"
        site.configure({"database": {"connection": url}})
        lines = site.finds(2, "error database: [database] connection mysql")
        assert not any("secret" in line for line in lines)
        # What needs no database is checked all the same.
        assert "source csv: answers" in site.run(*DOCTOR, "--all").out

    def test_a_database_that_nobody_has_made(self, site: Site, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "other.sqlite"
        site.configure({"database": {"connection": f"sqlite:///{path}"}})
        site.finds(2, "error no such file; run cloudkitty-dbsync upgrade")
        assert not path.exists()

    def test_a_url_that_is_none(self, site: Site) -> None:
        site.configure({"database": {"connection": "nonsense"}})
        site.finds(2, "error [database] connection")

    def test_a_source_whose_file_is_missing(self, site: Site) -> None:
        site.rate()
        (site.directory / "usage.csv").unlink()
        site.finds(
            2,
            "error source csv: none of 2 metrics could be asked for: [collector_csv] file",
            "error fetcher csv: [collector_csv] file",
        )

    def test_a_source_that_does_not_answer(self, site: Site) -> None:
        site.configure(
            {
                "collect": {"collector": "ceilometer"},
                "collector_ceilometer": {"endpoint": CLOSED},
            }
        )
        (site.directory / "metrics.yml").write_text("metrics: {a: {unit: x}, b: {unit: x}}\n")
        lines = site.finds(2, f"error [collector_ceilometer] endpoint {CLOSED} does not answer")
        assert len([line for line in lines if "source ceilometer" in line]) == 1

    def test_a_source_that_takes_the_question_and_is_silent(self, site: Site) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
            site.configure(
                {
                    "collect": {"collector": "ceilometer"},
                    "collector_ceilometer": {"endpoint": endpoint, "timeout": 0.1},
                }
            )
            (site.directory / "metrics.yml").write_text("metrics: {a: {unit: x}}\n")
            site.finds(2, f"error [collector_ceilometer] endpoint {endpoint} does not answer")

    def test_a_fetcher_without_scopes(self, site: Site) -> None:
        header = (site.directory / "usage.csv").read_text().splitlines()[0]
        (site.directory / "usage.csv").write_text(f"{header}\n")
        site.finds(1, "warning fetcher csv: it lists no scope")

    def test_metrics_and_attributes_without_data(self, site: Site) -> None:
        site.rate()
        written = cloud.METRICS.replace("[flavor]", "[flavour]").replace("network.out", "net.out")
        (site.directory / "metrics.yml").write_text(written)
        usage = site.directory / "usage.csv"
        header, *rows = usage.read_text().splitlines()
        usage.write_text("\n".join([f"{header},flavour", *(f"{row}," for row in rows), ""]))
        site.finds(
            1,
            "warning metric instance: metadata 'flavour' is empty on all 4 points",
            "warning metric net.out: source csv has no usage of 'net.out'",
            "warning hashmap: field 'flavor' of service 'instance' (3 rules)",
            "warning hashmap: service 'network.out' is no metric",
            "warning prices: no enabled module has a rule in force that gives instance, net.out",
        )

    def test_a_value_that_no_rule_is_about(self, site: Site) -> None:
        site.rate()
        usage = site.directory / "usage.csv"
        usage.write_text(usage.read_text().replace("small", "tiny").replace("large", "huge"))
        site.finds(1, "warning metric instance: none of 4 points", "warning flavor='tiny'")

    def test_rules_that_are_switched_off(self, site: Site) -> None:
        ModuleStates(site.database).set("hashmap", enabled=False)
        site.finds(
            1,
            "warning hashmap: has 5 rules and is disabled",
            "warning prices: no enabled module has a rule in force",
        )

    def test_scripts_may_price_anything(self, site: Site) -> None:
        site.rate()
        ModuleStates(site.database).set("hashmap", enabled=False)
        source = (
            "for points in data['usage'].values():\n"
            "    for point in points:\n"
            "        point['rating']['price'] = 1\n"
        )
        new = NewScript(name="one", data=source)
        ScriptStore(site.database).create(new, now=NEW_YEAR, user="test", force=True)
        site.finds(1, "warning pyscripts: has 1 rule and is disabled")
        ModuleStates(site.database).set("pyscripts", enabled=True)
        lines = site.finds(1, "warning hashmap: has 5 rules and is disabled")
        assert len(lines) == 2

    def test_a_script_that_fails(self, site: Site) -> None:
        new = NewScript(name="bad", data="1 / 0")
        ScriptStore(site.database).create(new, now=NEW_YEAR, user="test", force=True)
        ModuleStates(site.database).set("pyscripts", enabled=True)
        site.finds(2, "error rating: pyscripts: ", "error ZeroDivisionError", "error bad")

    def test_a_module_that_is_not_installed(self, site: Site) -> None:
        ModuleStates(site.database).set("guest", enabled=True)
        site.finds(2, "error guest: is enabled and cannot be used: it is not installed")

    def test_a_rule_for_a_metric_that_is_misspelt(self, site: Site) -> None:
        store = HashmapStore(site.database)
        service = store.create_service("instanse")
        new = NewMapping(service_id=service.service_id, cost=Decimal(1))
        store.create_mapping(new, now=NEW_YEAR, user="test", force=True)
        site.finds(1, "warning hashmap: service 'instanse' is no metric", "warning 'instance'?")

    def test_recent_usage_that_matched_no_rule(self, site: Site) -> None:
        with site.database.writer() as connection:
            small = tables.mappings.c.value == "small"
            connection.execute(tables.mappings.update().where(small).values(value="tiny"))
        site.rate()
        conf = config.load([], config_files=[str(site.config)])
        found = examination.examine(conf, NEW_YEAR + HOURS * HOUR)
        # In each of two scopes one instance for five hours, and one for four.
        assert (
            "warning  metric instance: 18 points of the last 24 periods matched no rule and cost 0 "
            "(flavor: 'small' 18)"
        ) in map(str, found)
        later = examination.examine(conf, NEW_YEAR + (HOURS + 24) * HOUR)
        assert not [one for one in later if "matched no rule" in str(one)]

    def test_scopes_that_fail_and_lag(self, site: Site) -> None:
        site.rate()
        [first, _] = ScopeStore(site.database).find({})
        store = ScopeStore(site.database)
        store.note_failure([first], "nobody home", build.utcnow() + HOUR, build.utcnow())
        site.configure({"collect": {"wait_periods": 2}})
        site.finds(2, "error scopes: p0: 1 failure in a row", "error nobody home", "warning (p1)")

    def test_a_first_period_that_is_none(self, site: Site) -> None:
        site.configure({"collect": {"first_period": "soon"}})
        site.finds(2, "error [collect] first_period")


class TestCredentials:
    AUTH = {"DEFAULT": {"auth_strategy": "keystone"}}

    def section(self, identity: str, **changes: object) -> dict[str, object]:
        lines = live.AUTHTOKEN.format(identity=identity).splitlines()[1:]
        return {
            name.strip(): value.strip() for name, _, value in (x.partition("=") for x in lines)
        } | changes

    @pytest.fixture
    def identity(self) -> str:
        return peers.named("KEYSTONE")

    def test_none(self, site: Site) -> None:
        site.configure(self.AUTH)
        site.finds(2, "error [keystone_authtoken] auth_type: not set", "error auth_strategy")

    def test_nobody_answers(self, site: Site) -> None:
        site.configure({**self.AUTH, "keystone_authtoken": self.section(CLOSED)})
        site.finds(2, "error no token from [keystone_authtoken] auth_url")

    def test_right_and_wrong(self, site: Site, identity: str) -> None:
        site.rate()
        site.configure({**self.AUTH, "keystone_authtoken": self.section(identity)})
        site.finds(0)
        wrong = self.section(identity, password="wrong")
        site.configure({**self.AUTH, "keystone_authtoken": wrong})
        site.finds(2, "error credentials [keystone_authtoken]: the identity service refuses them")

    def test_the_fetcher(self, site: Site, identity: str) -> None:
        fetcher: dict[str, Any] = {"fetcher": {"backend": "keystone"}}
        unread = {"www_authenticate_uri": None}
        site.configure({**fetcher, "fetcher_keystone": self.section(identity, **unread)})
        assert "ok       fetcher keystone: 2 scopes" in site.run(*DOCTOR, "--all").out
        # The name that the section had in earlier releases.
        site.configure({**fetcher, "keystone_fetcher": self.section(identity, **unread)})
        assert "ok       fetcher keystone: 2 scopes" in site.run(*DOCTOR, "--all").out
        wrong = self.section(identity, password="wrong", **unread)
        site.configure({**fetcher, "fetcher_keystone": wrong})
        site.finds(2, "error credentials [fetcher_keystone]", "error fetcher keystone: asking for")


def test_a_source_that_would_refuse_is_not_asked(site: Site) -> None:
    section = TestCredentials().section(CLOSED, www_authenticate_uri=None)
    collector = {"collect": {"collector": "gnocchi"}, "collector_gnocchi": section}
    (site.directory / "metrics.yml").write_text(
        "metrics: {cpu: {unit: GiB, groupby: [id], extra_args: {resource_type: i}}}"
    )
    site.configure(collector)
    found = site.finds(2, "error credentials [collector_gnocchi]: no token")
    assert not [line for line in found if "source gnocchi" in line or "metric cpu" in line]


def test_a_real_metering_api(site: Site) -> None:
    url = peers.named("CEILOMETER")
    site.configure(
        {"collect": {"collector": "ceilometer"}, "collector_ceilometer": {"endpoint": url}}
    )
    (site.directory / "metrics.yml").write_text("metrics: {no.such.meter: {unit: x}}\n")
    site.finds(1, "warning metric no.such.meter: source ceilometer has no usage")
    assert "source ceilometer: answers" in site.run(*DOCTOR, "--all").out


class TestScopes:
    def test_the_furthest_behind_come_first(self, site: Site) -> None:
        site.rate()
        [first, second] = ScopeStore(site.database).find({})
        store = ScopeStore(site.database)
        store.note_failure([second], "nobody\nhome", NEW_YEAR, NEW_YEAR, ["instance"])
        store.set_active(first, False, NEW_YEAR)
        rows = site.run(*SCOPES).out.splitlines()
        assert rows[0].split("  ")[0] == "scope"
        line = "p0 2026-01-01 05:00:00Z 0 no inactive 2026-01-01 00:00:00Z"
        assert rows[1].split() == line.split()
        line = "0 yes failing 2026-01-01 00:00:00Z instance 1 2026-01-01 00:00:00Z nobody home"
        assert rows[2].split()[3:] == line.split()

    def test_json(self, site: Site) -> None:
        site.rate()
        [first, _] = json.loads(site.run(*SCOPES, "--json").out)
        assert first == {
            "scope_id": "p0",
            "scope_key": "project_id",
            "fetcher": "csv",
            "collector": "csv",
            "active": True,
            "state": "closed",
            "since": None,
            "horizon": "2026-01-01T05:00:00+00:00",
            "starts_at": "2026-01-01T00:00:00+00:00",
            "periods_behind": 0,
            "failures": 0,
            "next_try": None,
            "last_error": None,
            "metrics": [],
        }

    def test_a_database_that_does_not_answer(self, site: Site) -> None:
        site.configure({"database": {"connection": "mysql://somebody@127.0.0.1:9/cloudkitty"}})
        done = site.run(*SCOPES)
        assert done.code == 1
        assert done.err.startswith("cloudkitty-status: [database] connection")

    def test_a_wrong_option(self, site: Site) -> None:
        site.configure({"collect": {"wait_periods": "few"}})
        done = site.run(*SCOPES)
        assert done.code == 1
        assert "wait_periods" in done.err


class TestUpgradeCheck:
    def test_the_first_storage_interface(self, site: Site) -> None:
        site.configure({"storage": {"version": 1}})
        assert "[storage] version is 1" in site.checks(1)

    @pytest.mark.parametrize("name", ["policy.yaml", "policy.json"])
    def test_a_policy_file_of_json(self, name: str, site: Site) -> None:
        (site.directory / name).write_text('{"context_is_admin": "role:admin"}')
        assert "oslopolicy-convert-json-to-yaml" in site.checks(1)

    def test_a_policy_file_of_yaml(self, site: Site) -> None:
        (site.directory / "policy.yaml").write_text('"context_is_admin": "role:admin"\n')
        assert site.run(*UPGRADE).code == 0

    def test_no_schema(self, site: Site, tmp_path: pathlib.Path) -> None:
        with sa.create_engine(f"sqlite:///{tmp_path}/empty.sqlite").begin() as connection:
            connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
        site.configure({"database": {"connection": f"sqlite:///{tmp_path}/empty.sqlite"}})
        assert "no schema yet" in site.checks(2)

    def test_a_table_of_checks(self, site: Site) -> None:
        out = site.run(*UPGRADE).out
        assert out.count("| Result: Success") == 4
        for name in (
            "Configuration",
            "Storage version",
            "Policy File JSON to YAML Migration",
            "Database schema",
        ):
            assert f"| Check: {name} " in out

    def test_a_wrong_option(self, site: Site) -> None:
        site.configure({"collect": {"period": "often"}})
        assert "[collect] period" in site.checks(2)

    def test_a_configuration_that_cannot_be_read(self, site: Site) -> None:
        site.config.unlink()
        done = site.run(*UPGRADE)
        assert done.code == 255
        assert "--config-file" in done.err


def test_wrong_usage(site: Site) -> None:
    assert site.run().code == 2
    assert site.run("upgrade").code == 2
    assert site.run("nonsense").code == 2
