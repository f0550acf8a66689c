# SPDX-License-Identifier: Apache-2.0
"""What becomes of the answers that a metering API can give: a server on loopback gives them.

``samples/ceilometer-instance.json`` was recorded from a real one.
"""

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
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.ceilometer import CeilometerCollector
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional.scripted import Answer, ScriptedServer

RECORDED = pathlib.Path(__file__).parent / "samples" / "ceilometer-instance.json"
HOUR = Period.of(datetime(2026, 1, 5, 1, tzinfo=period.UTC), 3600)


def statistics(server: ScriptedServer, *answers: Answer) -> None:
    server.answers["/v2/meters/instance/statistics"] = list(answers)


@pytest.fixture
def server(conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr("keystoneauth1.session.time.sleep", lambda seconds: None)
    server = ScriptedServer()
    conf.set_override("endpoint", server.url, "collector_ceilometer")
    yield server
    server.stop()


def fetch(
    conf: cfg.ConfigOpts, body: str = "groupby: [id], extra_args: {kind: gauge}", *scopes: str
) -> dict[str, Points]:
    written = f"metrics: {{instance: {{unit: x, {body}}}}}"
    definition = metrics.read(
        written, "project_id", CeilometerCollector.check_extra_args
    ).definitions[0]
    return dict(CeilometerCollector(conf, Registry()).fetch(definition, HOUR, scopes or ("p", "q")))


def group(**values: Any) -> str:
    """The statistics of one resource of project p, as the text that the API sends."""
    ids = {"project_id": "p", "resource_id": "r"}
    times = {"duration_start": "2026-01-05T01:00:00", "duration_end": "2026-01-05T01:50:00"}
    written = ", ".join(f'"{name}": {value}' for name, value in values.items())
    return f'{{"groupby": {json.dumps(ids)}, {json.dumps(times)[1:-1]}, {written}}}'


def steady(value: str) -> str:
    return group(min=value, max=value, avg=value, sum=value, count="1")


class TestAnswers:
    def test_recorded(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        statistics(server, (200, json.dumps(recorded["statistics"])))
        server.answers["/v2/resources"] = [(200, json.dumps(recorded["resources"]))]
        projects = (
            "2990620681435661a573f55e776a9ff7",
            "e91a067d75fc523d846487a03924a936",
        )
        body = "groupby: [id], metadata: [flavor, vcpus], extra_args: {kind: presence}"
        found = fetch(conf, body, *projects)
        assert {
            project: sorted((point.metadata["flavor"], money.text(point.qty)) for point in points)
            for project, points in found.items()
        } == {project: [("m1.large", "1"), ("m1.nano", "1")] for project in projects}

    def test_values_keep_the_digits_that_were_sent(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        statistics(server, (200, f"[{steady('0.1234567890123456789012345678')}]"))
        assert fetch(conf)["p"].qty == [money.amount("0.1234567890123456789012345678")]

    def test_large_values(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        statistics(server, (200, f"[{steady('1e+22')}]"))
        assert fetch(conf)["p"].qty == [money.amount("1e22")]

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
    @pytest.mark.parametrize("method", ["time_mean", "max"])
    def test_what_is_no_number_is_dropped(
        self,
        conf: cfg.ConfigOpts,
        server: ScriptedServer,
        caplog: pytest.LogCaptureFixture,
        value: str,
        method: str,
    ) -> None:
        statistics(server, (200, f"[{steady(value)}]"))
        assert fetch(conf, f"extra_args: {{kind: gauge, aggregation_method: {method}}}") == {}
        assert "1 values of meter instance were no numbers" in caplog.text

    def test_every_filter_has_field_operator_value_and_type(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        statistics(server, (200, "[]"))
        fetch(conf, "extra_args: {kind: gauge}", "p")
        assert server.asked == [
            "/v2/meters/instance/statistics"
            "?q.field=timestamp&q.field=timestamp&q.field=project_id"
            "&q.op=ge&q.op=lt&q.op=eq&q.type=&q.type=&q.type="
            "&q.value=2026-01-05T01%3A00%3A00&q.value=2026-01-05T02%3A00%3A00&q.value=p"
            "&groupby=project_id&groupby=resource_id"
        ]


class TestErrors:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int
    ) -> None:
        statistics(server, (status, ""), (status, ""), (200, f"[{steady('1')}]"))
        assert fetch(conf)["p"].qty == [1]

    def test_tries_are_bounded(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        statistics(server, (503, ""))
        with pytest.raises(SourceUnavailable) as caught:
            fetch(conf)
        assert len(server.asked) == 4
        assert str(caught.value) == (
            "asking for statistics of meter 'instance': "
            f"[collector_ceilometer] endpoint {server.url} answers 503 Service Unavailable"
        )

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_access_is_not_tried_again(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int
    ) -> None:
        statistics(server, (status, "{}"))
        with pytest.raises(SourceUnavailable, match=r"the credentials in \[collector_ceilometer\]"):
            fetch(conf)
        # keystoneauth asks once more after a 401, with a fresh token.
        assert len(server.asked) <= 2

    def test_an_error_with_a_sentence(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        statistics(server, (400, '{"error_message": {"faultstring": "Unknown argument"}}'))
        with pytest.raises(CollectError, match="answers 400 Unknown argument"):
            fetch(conf)

    @pytest.mark.parametrize(
        "body",
        ["", "<html>", "[1, 2", '{"a": 1}', '"text"', "[3]", '[{"a": 1}]', '[{"groupby": null}]'],
    )
    def test_an_answer_that_is_not_what_it_should_be(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, body: str
    ) -> None:
        statistics(server, (200, body))
        with pytest.raises(CollectError, match="meter 'instance'"):
            fetch(conf)

    def test_a_group_that_is_there_twice(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        statistics(server, (200, f"[{steady('1')}, {steady('1')}]"))
        with pytest.raises(SourceUnavailable, match="the same group is there twice"):
            fetch(conf)

    def test_a_resource_with_samples_that_is_not_listed(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        statistics(server, (200, f"[{steady('1')}]"))
        server.answers["/v2/resources"] = [(200, "[]")]
        with pytest.raises(SourceUnavailable, match="samples of resource 'r' in"):
            fetch(conf, "metadata: [flavor], extra_args: {kind: gauge}")

    def test_somebody_elses_usage(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        statistics(server, (200, f"[{steady('1')}]"))
        with pytest.raises(SourceUnavailable, match="usage of 'p' is in an answer about 'q'"):
            fetch(conf, "extra_args: {kind: gauge}", "q")

    def test_nobody_listens(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            conf.set_override("endpoint", url, "collector_ceilometer")
            with pytest.raises(SourceUnavailable, match=f"endpoint {url} does not answer"):
                fetch(conf)

    def test_a_server_that_takes_too_long(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            conf.set_override("endpoint", url, "collector_ceilometer")
            conf.set_override("timeout", 0.05, "collector_ceilometer")
            with pytest.raises(SourceUnavailable, match=f"endpoint {url} does not answer"):
                fetch(conf)


class TestConfiguration:
    def test_neither_endpoint_nor_credentials(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(ConfigurationError, match=r"\[collector_ceilometer\] endpoint"):
            CeilometerCollector(conf, Registry())

    def test_an_unknown_scope_key(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_key", "domain_id", "collect")
        with pytest.raises(ConfigurationError, match=r"\[collect\] scope_key: .* 'domain_id'"):
            CeilometerCollector(conf, Registry())

    def test_an_unknown_auth_type(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("auth_type", "no-such", "collector_ceilometer")
        with pytest.raises(ConfigurationError, match=r"\[collector_ceilometer\] auth_type"):
            CeilometerCollector(conf, Registry())

    @pytest.fixture
    def identity(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> ScriptedServer:
        """The server is an identity service too, and no endpoint is configured."""
        conf.clear_override("endpoint", "collector_ceilometer")
        conf.set_override("auth_type", "v3password", "collector_ceilometer")
        options = keystone_loading.get_auth_plugin_conf_options("v3password")
        conf.register_opts(options, "collector_ceilometer")
        for name, value in {
            "auth_url": f"{server.url}/v3",
            "username": "u",
            "password": "p",
            "user_domain_id": "default",
            "project_id": "service",
        }.items():
            conf.set_override(name, value, "collector_ceilometer")
        return server

    @staticmethod
    def _token(*services: dict[str, Any]) -> str:
        return json.dumps(
            {
                "token": {
                    "expires_at": "2099-01-01T00:00:00.000000Z",
                    "issued_at": "2026-01-01T00:00:00.000000Z",
                    "methods": ["password"],
                    "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "d"}},
                    "catalog": list(services),
                }
            }
        )

    def test_the_endpoint_is_found_in_the_catalogue(
        self, conf: cfg.ConfigOpts, identity: ScriptedServer
    ) -> None:
        endpoint = {"interface": "internal", "region_id": "R", "region": "R", "url": identity.url}
        metering = {"type": "metering", "name": "metering", "endpoints": [endpoint]}
        identity.answers["/v3/auth/tokens"] = [(201, self._token(metering))]
        statistics(identity, (200, f"[{steady('1')}]"))
        assert fetch(conf)["p"].qty == [1]

    def test_a_catalogue_without_the_service(
        self, conf: cfg.ConfigOpts, identity: ScriptedServer
    ) -> None:
        identity.answers["/v3/auth/tokens"] = [(201, self._token())]
        with pytest.raises(SourceUnavailable, match="no service of type 'metering'"):
            fetch(conf)

    def test_wrong_credentials(self, conf: cfg.ConfigOpts, identity: ScriptedServer) -> None:
        identity.answers["/v3/auth/tokens"] = [(401, "{}")]
        with pytest.raises(SourceUnavailable, match="the identity service refuses"):
            fetch(conf)

    @pytest.mark.parametrize(
        ("extra_args", "problem"),
        [
            ("kind: gague", "kind: must be one of gauge, presence, delta, cumulative, not 'gague'"),
            ("interval: 0", "interval: must be a whole number of at least 1, not 0"),
            ("kind: delta, interval: 60", "interval: has no effect with kind: delta"),
            ("kind: gauge, rounding: whole", "rounding: has no effect with kind: gauge"),
            ("resource_type: x", "resource_type: unknown key 'resource_type'; there are:"),
        ],
    )
    def test_extra_args(self, extra_args: str, problem: str) -> None:
        written = f"metrics: {{m: {{unit: x, extra_args: {{{extra_args}}}}}}}"
        with pytest.raises(metrics.MetricsError) as caught:
            metrics.read(written, "project_id", CeilometerCollector.check_extra_args)
        assert f"metrics -> m -> extra_args -> {problem}" in str(caught.value)
