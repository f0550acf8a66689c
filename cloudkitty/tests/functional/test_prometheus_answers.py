# SPDX-License-Identifier: Apache-2.0
"""What becomes of the answers that a Prometheus can give: a server on loopback gives them.

``samples/prometheus-answers.json`` was recorded from a real one.
"""

import base64
import json
import logging
import pathlib
import socket
import urllib.parse
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty import money, period
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.fetcher.base import FetchError
from cloudkitty.fetcher.prometheus import PrometheusFetcher
from cloudkitty.period import Period
from cloudkitty.tests.functional.scripted import Answer, ScriptedServer
from cloudkitty.tests.functional.test_prometheus import definition

RECORDED = pathlib.Path(__file__).parent / "samples" / "prometheus-answers.json"
HOUR = Period.of(datetime(2026, 1, 5, 1, tzinfo=period.UTC), 3600)
QUERY = "/api/v1/query"


def answer(*values: str, labels: dict[str, str] | None = None, **more: Any) -> Answer:
    """A vector with these values."""
    about = {"project_id": "p"} if labels is None else labels
    result = [{"metric": about | {"id": f"r{at}"}, "value": [1, v]} for at, v in enumerate(values)]
    return vector(result, **more)


def vector(result: object, **more: Any) -> Answer:
    data = {"resultType": "vector", "result": result}
    return 200, json.dumps({"status": "success", "data": data, **more})


CLOSED = vector([{"metric": {}, "value": [1, "2"]}])
LEFT_OPEN = vector([{"metric": {}, "value": [1, "1"]}])


def recorded(name: str) -> Answer:
    found = json.loads(RECORDED.read_text(encoding="utf-8"))[name]
    return found["status"], json.dumps(found["body"])


@pytest.fixture
def server(conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr("keystoneauth1.session.time.sleep", lambda seconds: None)
    server = ScriptedServer()
    for group in ("collector_prometheus", "fetcher_prometheus"):
        conf.set_override("prometheus_url", f"{server.url}/api/v1", group)
    conf.set_override("metric", "m", "fetcher_prometheus")
    yield server
    server.stop()


def fetch(
    conf: cfg.ConfigOpts, server: ScriptedServer, *answers: Answer, first: Answer = CLOSED
) -> dict[str, Points]:
    """The usage of projects p and q when the server answers so."""
    server.answers[QUERY] = [first, *answers]
    metric = definition("m", "groupby: [id]")
    return dict(PrometheusCollector(conf, Registry()).fetch(metric, HOUR, ["p", "q"]))


def asked(server: ScriptedServer) -> list[dict[str, str]]:
    return [dict(urllib.parse.parse_qsl(body)) for body in server.bodies]


class TestAnswers:
    def test_recorded(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        server.answers[QUERY] = [CLOSED, recorded("query-memory-by-instance")]
        metric = definition("node_memory_MemAvailable_bytes", "groupby: [instance]")
        points = PrometheusCollector(conf, Registry()).fetch(metric, HOUR, ["demo", "other"])
        _, body = recorded("query-memory-by-instance")
        value = json.loads(body)["data"]["result"][0]["value"][1]
        assert points["demo"].qty == [money.amount(value)]

    @pytest.mark.parametrize("name", ["query-nan", "query-inf"])
    def test_recorded_values_that_are_no_numbers(
        self,
        conf: cfg.ConfigOpts,
        server: ScriptedServer,
        caplog: pytest.LogCaptureFixture,
        name: str,
    ) -> None:
        server.answers[QUERY] = [CLOSED, recorded(name)]
        metric = definition("up", "groupby: [instance]")
        assert PrometheusCollector(conf, Registry()).fetch(metric, HOUR, ["demo"]) == {}
        assert "values of metric up in [2026-01-05T01:00:00" in caplog.text

    @pytest.mark.parametrize(
        "value",
        ["0.1234567890123456789012345678", "123456789.987", "10737418241", "0.1234567895", "-3"],
    )
    def test_values_keep_their_digits(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, value: str
    ) -> None:
        assert fetch(conf, server, answer(value))["p"].qty == [money.amount(value)]

    def test_powers_of_ten(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        found = fetch(conf, server, answer("1.8014398509481984e+16", "1e-7"))
        assert found["p"].qty == [money.amount("18014398509481984"), money.amount("0.0000001")]

    def test_what_is_too_large_for_the_ledger_is_dropped(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert fetch(conf, server, answer("1e300", "3"))["p"].qty == [3]
        assert "1 values of metric m in" in caplog.text

    def test_warnings_are_told_to_who_looks_closely(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        about_query = "PromQL warning: metric might not be a counter"
        noted = answer("1", warnings=[about_query], infos=["PromQL info: is it a counter?"])
        assert fetch(conf, server, noted)["p"].qty == [1]
        assert f"asking for metric 'm': {about_query}" in caplog.text
        assert "PromQL info: is it a counter?" in caplog.text

    def test_a_part_is_no_answer(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        with pytest.raises(SourceUnavailable, match="said to be a part: a store is away"):
            fetch(conf, server, answer("1", warnings=["a store is away"]))

    def test_a_series_that_is_there_twice(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        item = {"metric": {"project_id": "p", "id": "a"}, "value": [1, "2"]}
        with pytest.raises(SourceUnavailable, match=r"it has the series .* twice"):
            fetch(conf, server, vector([item, item]))

    def test_somebody_elses_usage(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        with pytest.raises(SourceUnavailable, match="project_id 'x' is in an answer about others"):
            fetch(conf, server, answer("1", labels={"project_id": "x"}))

    def test_how_ranges_are_understood_has_an_answer(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        with pytest.raises(SourceUnavailable, match="evaluates to 0 series"):
            fetch(conf, server, answer("1"), first=vector([]))

    def test_the_order_of_keys_is_free(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        item = '{"value": [1.5, "7"], "metric": {"id": "r", "project_id": "p"}}'
        body = f'{{"data": {{"result": [{item}], "resultType": "vector"}}, "status": "success"}}'
        assert fetch(conf, server, (200, body))["p"].qty == [7]


class TestQuestions:
    def test_a_release_whose_ranges_have_both_ends(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        fetch(conf, server, answer("1"))
        assert asked(server) == [
            {
                "query": "count_over_time(vector(1)[1s:1s])",
                "time": "2026-01-05T02:00:00.000+00:00",
            },
            {
                "query": 'max(max_over_time(m{project_id=~"p|q"}[3599999ms])) by (id, project_id)',
                "time": "2026-01-05T01:59:59.999+00:00",
            },
        ]

    def test_a_release_whose_ranges_lack_their_begin(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        fetch(conf, server, answer("1"), first=LEFT_OPEN)
        assert "[3600000ms]" in asked(server)[1]["query"]

    def test_a_user_and_a_password(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.set_override("prometheus_user", "u", "collector_prometheus")
        conf.set_override("prometheus_password", "p:w", "collector_prometheus")
        fetch(conf, server, answer("1"))
        expected = "Basic " + base64.b64encode(b"u:p:w").decode()
        assert [headers["Authorization"] for headers in server.headers] == [expected] * 2

    def test_answers_may_be_compressed(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        fetch(conf, server, answer("1"))
        assert "gzip" in server.headers[0]["Accept-Encoding"]
        assert server.headers[0].get("Authorization") is None


class TestErrors:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int
    ) -> None:
        assert fetch(conf, server, (status, ""), (status, ""), answer("5"))["p"].qty == [5]

    def test_tries_are_bounded(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        with pytest.raises(SourceUnavailable) as caught:
            fetch(conf, server, (503, ""))
        assert len(server.asked) == 5
        assert str(caught.value) == (
            "asking for metric 'm': [collector_prometheus] prometheus_url "
            f"{server.url}/api/v1 answers 503 Service Unavailable"
        )

    @pytest.mark.parametrize(
        ("status", "kind"), [(422, "execution"), (503, "timeout"), (503, "canceled")]
    )
    def test_a_query_that_is_too_much_may_go_with_fewer_scopes(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int, kind: str
    ) -> None:
        told = {"status": "error", "errorType": kind, "error": "query timed out"}
        with pytest.raises(CollectError, match=f"{status} query timed out") as caught:
            fetch(conf, server, (status, json.dumps(told)))
        assert not isinstance(caught.value, SourceUnavailable)

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_access(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, status: int
    ) -> None:
        with pytest.raises(SourceUnavailable, match=r"the credentials in \[collector_prometheus\]"):
            fetch(conf, server, (status, "Unauthorized"))

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("query-bad", "answers 400 invalid parameter"),
            ("not-found", "answers 404"),
            ("query-scalar", "evaluates to a scalar, and only an instant vector has usage: max"),
            ("query-range", "evaluates to a matrix, and only an instant vector has usage: max"),
        ],
    )
    def test_recorded(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, name: str, told: str
    ) -> None:
        with pytest.raises(SourceUnavailable, match=told):
            fetch(conf, server, recorded(name))

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "<html>",
            "[]",
            "{}",
            '{"status": "error", "errorType": "internal", "error": "no"}',
            '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {',
            '{"status": "success", "data": {"resultType": "vector", "result": [1]}}',
            '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}',
            '{"status": "success", "data": {"resultType": "vector", "result": [{"value": [1]}]}}',
            '{"status": "success", "data": {"resultType": "vector", "result": {"metric": {}}}}',
            '{"status": "success", "data": {"resultType": "vector", "result": null}}',
            '{"status": "success", "data": {"resultType": "vector"}}',
        ],
    )
    def test_an_answer_that_is_not_what_it_should_be(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, body: str
    ) -> None:
        with pytest.raises(SourceUnavailable, match=r"metric 'm': .*an answer that cannot be read"):
            fetch(conf, server, (200, body))

    @pytest.mark.parametrize("value", ['["1", 2]', '[1, "one"]', "[1, 2]", '"1"', '[1, "1", "2"]'])
    def test_a_value_that_is_none(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, value: str
    ) -> None:
        item = f'{{"metric": {{"project_id": "p"}}, "value": {value}}}'
        body = f'{{"status": "success", "data": {{"resultType": "vector", "result": [{item}]}}}}'
        with pytest.raises(SourceUnavailable, match="an answer that cannot be read"):
            fetch(conf, server, (200, body))

    def test_an_error_that_comes_with_success(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        body = '{"status": "error", "errorType": "internal", "error": "a store is away"}'
        with pytest.raises(SourceUnavailable, match="its status is 'error': a store is away"):
            fetch(conf, server, (200, body))

    def test_nobody_listens(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v1"
            conf.set_override("prometheus_url", url, "collector_prometheus")
            conf.set_override("timeout", 1, "collector_prometheus")
            metric = definition("m", "groupby: [id]")
            with pytest.raises(SourceUnavailable, match=f"prometheus_url {url} does not answer"):
                PrometheusCollector(conf, Registry()).fetch(metric, HOUR, ["p"])

    def test_a_server_that_takes_too_long(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1"
            conf.set_override("prometheus_url", url, "collector_prometheus")
            conf.set_override("timeout", 0.05, "collector_prometheus")
            metric = definition("m", "groupby: [id]")
            with pytest.raises(SourceUnavailable, match=f"prometheus_url {url} does not answer"):
                PrometheusCollector(conf, Registry()).fetch(metric, HOUR, ["p"])


class TestFetcher:
    def test_labels_that_are_missing_or_empty_name_no_scope(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        labels = [{"project_id": "b"}, {"project_id": ""}, {}, {"project_id": "a"}]
        server.answers[QUERY] = [vector([{"metric": one, "value": [1, "1"]} for one in labels])]
        assert PrometheusFetcher(conf).scopes() == ["a", "b"]
        assert asked(server) == [{"query": "max(m) by (project_id)"}]

    def test_filters_are_quoted(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.set_override("filters", {"a": 'x"y', "b": "z"}, "fetcher_prometheus")
        server.answers[QUERY] = [vector([])]
        assert PrometheusFetcher(conf).scopes() == []
        assert asked(server) == [{"query": 'max(m{a="x\\"y",b="z"}) by (project_id)'}]

    @pytest.mark.parametrize("body", ["", "{}", "[1", '{"status": "success", "data": 1}'])
    def test_an_answer_that_is_not_what_it_should_be(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, body: str
    ) -> None:
        server.answers[QUERY] = [(200, body)]
        with pytest.raises(FetchError, match=r"asking for scopes: \[fetcher_prometheus\]"):
            PrometheusFetcher(conf).scopes()

    def test_a_metric_is_needed(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.clear_override("metric", "fetcher_prometheus")
        with pytest.raises(ConfigurationError, match=r"\[fetcher_prometheus\] metric: give the"):
            PrometheusFetcher(conf)


class TestConfiguration:
    @pytest.mark.parametrize(
        "url", ["", "localhost:9090/api/v1", "http://localhost:9090", "http:///api/v1", "ftp://x"]
    )
    def test_urls_that_are_none(self, conf: cfg.ConfigOpts, url: str) -> None:
        conf.set_override("prometheus_url", url, "collector_prometheus")
        with pytest.raises(
            ConfigurationError,
            match=r"\[collector_prometheus\] prometheus_url: must be the URL of the HTTP API, like",
        ):
            PrometheusCollector(conf, Registry())

    @pytest.mark.parametrize(
        ("given", "missing"),
        [("prometheus_user", "prometheus_password"), ("prometheus_password", "prometheus_user")],
    )
    def test_a_user_without_a_password(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, given: str, missing: str
    ) -> None:
        conf.set_override(given, "x", "collector_prometheus")
        with pytest.raises(ConfigurationError, match=f"{missing}: missing"):
            PrometheusCollector(conf, Registry())

    @pytest.mark.parametrize(
        ("extra_args", "problem"),
        [
            ("aggregation_method: mean", "aggregation_method: must be one of avg, count, max, min"),
            ("query_function: sin", "query_function: must be one of abs, ceil,"),
            ("range_function: raet", "range_function: must be one of changes, delta,"),
            ("query_prefix: 2", "query_prefix: must be a text, not 2; put it in quotes"),
            ("labels: [a]", "labels: must be a map"),
            ("labels: {a: 1}", "labels: must be a text, not 1; put it in quotes"),
            ("interval: 0", "interval: must be a whole number of at least 1, not 0"),
            ("rounding: half", "rounding: must be one of whole, none, not 'half'"),
            ("aggregation_method: sum, rounding: none", "rounding: has an effect only with"),
            ("range_function: rate, interval: 60", "interval: has an effect only with"),
            ("lookback: 60", "lookback: has an effect only with range_function: exact_increase"),
            ("scopes: all", "scopes: must be one of together, one_by_one, not 'all'"),
            ("resource_type: x", "resource_type: unknown key 'resource_type'; there are:"),
        ],
    )
    def test_extra_args(self, extra_args: str, problem: str) -> None:
        written = f"metrics: {{m: {{unit: x, extra_args: {{{extra_args}}}}}}}"
        with pytest.raises(metrics.MetricsError) as caught:
            metrics.read(written, "project_id", PrometheusCollector.check_extra_args)
        assert f"metrics -> m -> extra_args -> {problem}" in str(caught.value)

    def test_all_extra_args_at_once(self) -> None:
        metric = definition(
            "m",
            "groupby: [id]",
            aggregation_method="avg",
            query_function="round",
            range_function="exact_increase",
            query_prefix="2 *",
            query_suffix="",
            labels={"id": "resource"},
            interval=60,
            lookback=7200,
            scopes="one_by_one",
        )
        assert metric.extra_args["lookback"] == 7200
