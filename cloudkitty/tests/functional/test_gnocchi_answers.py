# SPDX-License-Identifier: Apache-2.0
"""What becomes of the answers that Gnocchi can give: a server on loopback gives them.

``samples/gnocchi-volume.json`` was recorded from a real one.
"""

import gzip
import json
import pathlib
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty import money, period
from cloudkitty.collector import gnocchi as collector
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.gnocchi import GROUP, GnocchiCollector
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional import peers
from cloudkitty.tests.functional.scripted import Answer, ScriptedServer

RECORDED = pathlib.Path(__file__).parent / "samples" / "gnocchi-volume.json"
HOUR = Period.of(datetime(2026, 1, 5, 1, tzinfo=period.UTC), 3600)
AGGREGATES = "/v1/aggregates"
CHANGES = "/v1/search/resource/volume"
TYPE = "/v1/resource_type/volume"


@pytest.fixture
def server(conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr("keystoneauth1.session.time.sleep", lambda seconds: None)
    server = ScriptedServer()
    conf.set_override("gnocchi_auth_type", "basic", GROUP)
    conf.set_override("gnocchi_user", "admin", GROUP)
    conf.set_override("gnocchi_endpoint", server.url, GROUP)
    server.answers[TYPE] = [(200, json.dumps({"attributes": {"flavor": {}}}))]
    server.answers[CHANGES] = [(200, "[]")]
    yield server
    server.stop()


def fetch(
    conf: cfg.ConfigOpts, *scopes: str, extra: str = "", body: str = "groupby: [id]"
) -> dict[str, Points]:
    args = f"resource_type: volume, force_granularity: 300, aggregation_method: mean{extra}"
    written = f"metrics: {{volume.size: {{unit: x, {body}, extra_args: {{{args}}}}}}}"
    check = GnocchiCollector.check_extra_args
    definition = metrics.read(written, "project_id", check).definitions[0]
    return dict(GnocchiCollector(conf, Registry()).fetch(definition, HOUR, scopes or ("p", "q")))


def group(*values: str, identifier: str = "r", project: str = "p", **more: Any) -> str:
    """The measures of one resource, as the text that Gnocchi sends."""
    attributes = {
        "id": identifier,
        "project_id": project,
        "revision_start": "2026-01-01T00:00:00+00:00",
        **more,
    }
    measures = ", ".join(
        f'["2026-01-05T01:{5 * step:02}:00+00:00", 300.0, {value}]'
        for step, value in enumerate(values)
    )
    return (
        f'{{"group": {json.dumps(attributes)}, '
        f'"measures": {{"measures": {{"aggregated": [{measures}]}}}}}}'
    )


def steady(value: str, **more: Any) -> str:
    return group(*[value] * 12, **more)


def answers(server: ScriptedServer, *given: Answer) -> None:
    server.answers[AGGREGATES] = list(given)


class TestAnswers:
    def test_recorded(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        answers(server, (200, json.dumps(recorded["aggregates"])))
        server.answers[TYPE] = [(200, json.dumps(recorded["resource_type"]))]
        projects = [one["group"]["project_id"] for one in recorded["aggregates"]]
        found = fetch(conf, *projects, body="groupby: [id], metadata: [volume_type]")
        assert {
            project: [(point.metadata["volume_type"], money.text(point.qty)) for point in points]
            for project, points in found.items()
        } == {project: [("lvmdriver-1", "10")] for project in projects}

    def test_values_keep_the_digits_that_were_sent(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        answers(server, (200, f"[{steady('0.1234567890123456789012345678')}]"))
        assert fetch(conf)["p"].qty == [money.amount("0.1234567890123456789012345678")]

    @pytest.mark.parametrize("value", ["null", '"NaN"', '"Infinity"', "1e99"])
    def test_what_is_no_amount_is_dropped(
        self,
        conf: cfg.ConfigOpts,
        server: ScriptedServer,
        caplog: pytest.LogCaptureFixture,
        value: str,
    ) -> None:
        answers(server, (200, f"[{group(value)}, {steady('1', identifier='s')}]"))
        assert [point.qty for point in fetch(conf)["p"]] == [1]
        assert caplog.text.count("1 measures were no numbers; dropped") == 1

    def test_a_resource_that_is_listed_twice_counts_once(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        answers(server, (200, f"[{steady('1')}, {steady('1')}]"))
        assert fetch(conf)["p"].qty == [1]

    def test_scopes_that_were_not_asked_for(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        answers(server, (200, f"[{steady('1')}, {steady('1', identifier='s', project='x')}]"))
        with pytest.raises(SourceUnavailable, match="project_id 'x' is in an answer about others"):
            fetch(conf)

    def test_series_with_equal_attributes_are_summed(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        changed = {"id": "r", "revision_end": "2026-01-05T01:20:00+00:00", "project_id": "p"}
        server.answers[CHANGES] = [(200, json.dumps([changed]))]
        answers(server, (200, f"[{steady('6')}]"))
        assert fetch(conf)["p"].qty == [6]

    def test_an_instance_that_was_resized_is_no_more_than_one(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        changed = {
            "id": "r",
            "revision_end": "2026-01-05T01:20:00.7+00:00",
            "project_id": "p",
            "flavor": "small",
        }
        server.answers[CHANGES] = [(200, json.dumps([changed]))]
        whole = group("9", flavor="large").replace("300.0, 9]", "3600.0, 9]")
        answers(server, (200, f"[{whole}]"))
        body = "groupby: [id], metadata: [flavor], mutate: NUMBOOL"
        found = fetch(conf, "p", body=body)["p"]
        assert {str(point.metadata["flavor"]): money.text(point.qty) for point in found} == {
            "small": "0.3333333333333333333333333333",
            "large": "0.6666666666666666666666666667",
        }

    def test_compressed(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        answers(server, (200, f"[{steady('1')}]"))
        server.compress = gzip.compress
        assert fetch(conf)["p"].qty == [1]


class TestQuestions:
    def asked(self, conf: cfg.ConfigOpts, server: ScriptedServer, *scopes: str) -> Any:
        answers(server, (200, "[]"))
        fetch(conf, *scopes)
        return json.loads(server.bodies[-1])["search"]

    def test_one_scope(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        assert self.asked(conf, server, "p") == {"=": {"project_id": "p"}}

    def test_many_scopes_are_in_the_body(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        scopes = [f"{number:032x}" for number in range(1000)]
        assert self.asked(conf, server, *scopes) == {"in": {"project_id": scopes}}
        assert len(server.asked[-1]) < 300

    def test_resources_that_were_of_the_scope(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        changed = {"id": "r", "revision_end": "2026-01-05T01:20:00+00:00", "project_id": "p"}
        server.answers[CHANGES] = [(200, json.dumps([changed]))]
        assert self.asked(conf, server, "p") == {
            "or": [{"=": {"project_id": "p"}}, {"in": {"id": ["r"]}}]
        }

    def test_too_many_resources_to_name(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collector, "MOST_IDS", 1)
        rows = [
            {"id": one, "revision_end": "2026-01-05T01:20:00+00:00", "project_id": "p"}
            for one in "rs"
        ]
        server.answers[CHANGES] = [(200, json.dumps(rows))]
        assert self.asked(conf, server, "p") == {"!=": {"project_id": None}}

    def test_the_window_is_a_little_wider(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        answers(server, (200, "[]"))
        fetch(conf, "p")
        assert server.asked[-1] == (
            "/v1/aggregates?groupby=id&groupby=project_id&groupby=revision_start"
            "&start=2026-01-05T00%3A50%3A00%2B00%3A00&stop=2026-01-05T02%3A10%3A00%2B00%3A00"
            "&granularity=300"
        )

    def test_connections_are_kept(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        answers(server, (200, f"[{steady('1')}]"))
        fetch(conf)
        assert len(server.asked) == 3
        assert len(server.peers) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "description"),
        [
            (404, "Metric ['volume.size'] does not exist"),
            (400, {"cause": "Metrics not found", "detail": ["volume.size"]}),
        ],
    )
    def test_an_unknown_metric_is_no_data(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int, description: Any
    ) -> None:
        answers(server, (status, json.dumps({"code": status, "description": description})))
        assert fetch(conf) == {}

    @pytest.mark.parametrize("body", ["{}", "404 Not Found", '{"description": "no such page"}'])
    def test_another_404_is_an_error(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, body: str
    ) -> None:
        answers(server, (404, body))
        with pytest.raises(SourceUnavailable, match=r"volume.size.*answers 404"):
            fetch(conf)

    def test_a_metric_that_went_away_meanwhile_is_asked_for_again(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        told = {"description": {"cause": "Unknown metrics", "detail": ["x"]}}
        answers(server, (404, json.dumps(told)))
        with pytest.raises(SourceUnavailable, match="Unknown metrics"):
            fetch(conf)

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_busy_servers_are_asked_again(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int
    ) -> None:
        answers(server, (status, "{}"), (status, "{}"), (200, f"[{steady('1')}]"))
        assert fetch(conf)["p"].qty == [1]

    def test_but_not_for_ever(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        answers(server, (500, '{"description": "dictionary changed size during iteration"}'))
        with pytest.raises(SourceUnavailable, match="answers 500 dictionary changed size"):
            fetch(conf)
        assert len([one for one in server.asked if one.startswith(AGGREGATES)]) == 4

    def test_access_refused(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        server.answers[TYPE] = [(401, "{}")]
        with pytest.raises(SourceUnavailable, match=r"credentials in \[collector_gnocchi\]"):
            fetch(conf)

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "{}",
            "nonsense",
            "[1]",
            "[{}]",
            f"[{steady('1')}",
            f"[{steady('true').replace('300.0', '0')}]",
            f"[{steady('1').replace('2026-01-05T01:00', 'noon')}]",
        ],
    )
    def test_what_has_not_the_form(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, body: str
    ) -> None:
        answers(server, (200, body))
        with pytest.raises(SourceUnavailable, match=r"volume.size.*(cannot be read|not the form)"):
            fetch(conf)

    def test_measures_that_are_not_aggregated(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        answers(server, (200, f"[{steady('1').replace('aggregated', 'r')}]"))
        with pytest.raises(CollectError, match=r"custom_query .* put \(aggregate \.\.\.\) around"):
            fetch(conf)

    def test_no_server(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            conf.set_override("gnocchi_endpoint", url, GROUP)
            with pytest.raises(SourceUnavailable, match=f"gnocchi_endpoint {url} does not answer"):
                fetch(conf)


class TestIdentity:
    @pytest.fixture
    def keystone(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> str:
        """Credentials of a real identity service, which ``CLOUDKITTY_TEST_KEYSTONE`` names."""
        url = peers.named("KEYSTONE")
        options = {
            "auth_type": "password",
            "auth_url": url,
            "username": "cloudkitty",
            "password": "ratingpass",
            "user_domain_id": "default",
            "project_name": "service",
            "project_domain_id": "default",
        }
        conf.clear_override("gnocchi_auth_type", GROUP)
        plugin = keystone_loading.get_auth_plugin_conf_options("password")
        conf.register_opts(plugin, GROUP)
        for name, value in options.items():
            conf.set_override(name, value, GROUP)
        return url

    def test_the_token_goes_along(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, keystone: str
    ) -> None:
        answers(server, (200, f"[{steady('1')}]"))
        assert fetch(conf)["p"].qty == [1]
        assert all(len(headers["X-Auth-Token"]) > 100 for headers in server.headers)

    def test_a_token_that_is_no_longer_taken_is_replaced(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, keystone: str
    ) -> None:
        answers(server, (401, "{}"), (200, f"[{steady('1')}]"))
        assert fetch(conf)["p"].qty == [1]
        tokens = [headers["X-Auth-Token"] for headers in server.headers]
        assert tokens[-2] != tokens[-1]

    def test_wrong_credentials(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, keystone: str
    ) -> None:
        conf.set_override("password", "wrong", GROUP)
        with pytest.raises(SourceUnavailable, match="refuses the credentials in"):
            fetch(conf)

    def test_basic(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        answers(server, (200, "[]"))
        fetch(conf)
        assert {headers["Authorization"] for headers in server.headers} == {"Basic YWRtaW46"}

    def test_neither(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(ConfigurationError, match=r"\[collector_gnocchi\] auth_type: missing"):
            GnocchiCollector(conf, Registry())
