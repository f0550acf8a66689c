# SPDX-License-Identifier: Apache-2.0
"""Numbers for Prometheus: what is counted, under which names, and how it is shown."""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from cloudkitty.api.observed import Observed, note_route
from cloudkitty.collector.base import CollectError
from cloudkitty.telemetry.exposition import Exposition
from cloudkitty.telemetry.rating import CountedRating
from cloudkitty.telemetry.requests import CountedRequests
from cloudkitty.telemetry.server import Shown

Labels = tuple[tuple[str, str], ...]


def read(text: bytes) -> dict[str, dict[Labels, float]]:
    """Samples by name and labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def plain(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """As ``read``, with the values of labels alone, in the order of their names."""
    return {
        name: {tuple(value for _name, value in labels): count for labels, count in many.items()}
        for name, many in read(text).items()
    }


class TestRating:
    @pytest.fixture
    def exposition(self) -> Exposition:
        return Exposition()

    @pytest.fixture
    def telemetry(self, exposition: Exposition) -> CountedRating:
        return CountedRating(exposition.registry)

    def test_questions(self, telemetry: CountedRating, exposition: Exposition) -> None:
        with telemetry.question("gnocchi", "instance"):
            pass
        with telemetry.question("gnocchi", "disk") as asked:
            asked.is_empty = True
        with pytest.raises(CollectError), telemetry.question("csv", "disk") as asked:
            asked.is_empty = True
            raise CollectError("no")
        found = plain(exposition.text())
        assert found["cloudkitty_source_requests_total"] == {("gnocchi",): 2, ("csv",): 1}
        assert found["cloudkitty_source_empty_answers_total"] == {("disk", "gnocchi"): 1}
        assert found["cloudkitty_source_failures_total"] == {("disk", "csv"): 1}
        assert found["cloudkitty_source_seconds_count"] == {("gnocchi",): 2, ("csv",): 1}

    def test_periods_and_points(self, telemetry: CountedRating, exposition: Exposition) -> None:
        telemetry.periods("rated", 3)
        telemetry.periods("failed", 0)
        telemetry.points(7)
        telemetry.points(5)
        telemetry.retried(2)
        telemetry.unpriced({"disk": 4})
        with telemetry.step("store"):
            pass
        found = plain(exposition.text())
        assert found["cloudkitty_periods_total"] == {("rated",): 3}
        assert found["cloudkitty_points_total"] == {(): 12}
        assert found["cloudkitty_retries_total"] == {(): 2}
        assert found["cloudkitty_unpriced_points_total"] == {("disk",): 4}
        assert found["cloudkitty_step_seconds_count"] == {("store",): 1}


class Body:
    """The body of an answer, that wants to be closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])

    def close(self) -> None:
        self.is_closed = True


def ask(
    application: Any, path: str, method: str = "GET"
) -> tuple[str, dict[str, str], Iterable[bytes]]:
    told: list[Any] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method}
    body = application(environ, lambda status, headers, *_: told.extend((status, headers)))
    return told[0], dict(told[1]), body


class TestRequests:
    def observed(self, application: Any) -> tuple[Observed, Exposition]:
        exposition = Exposition()
        return Observed(application, CountedRequests(exposition), exposition), exposition

    def test_a_request_is_counted_when_its_answer_is_closed(self) -> None:
        body = Body()

        def application(environ: Any, start_response: Any) -> Any:
            # Middleware may hand on a copy.
            path = ["v2", "scope", "secret-id", "tasks", "7"]
            note_route(dict(environ), path, ["secret-id"], 1)
            start_response("202 Accepted", [])
            return body

        observed, exposition = self.observed(application)
        status, _headers, answer = ask(observed, "/v2/scope/secret-id/tasks/7")
        assert (status, b"".join(answer)) == ("202 Accepted", b"ab")
        assert "cloudkitty_api_requests_total" not in read(exposition.text())
        answer.close()  # type: ignore[attr-defined]
        assert body.is_closed
        found = plain(exposition.text())
        route = "/v2/scope/{}/tasks/{}"
        assert found["cloudkitty_api_requests_total"] == {("GET", route, "202"): 1}
        assert found["cloudkitty_api_request_seconds_count"] == {("GET", route): 1}
        assert b"secret" not in exposition.text()

    def test_what_leads_nowhere_has_no_names(self) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            start_response("404 Not Found", [])
            return []

        observed, exposition = self.observed(application)
        for method in ("GET", "FROBNICATE"):
            ask(observed, "/some/secret", method)[2].close()  # type: ignore[attr-defined]
        assert plain(exposition.text())["cloudkitty_api_requests_total"] == {
            ("GET", "none", "404"): 1,
            ("other", "none", "404"): 1,
        }

    def test_a_failure_without_an_answer_is_one_of_the_service(self) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            raise MemoryError

        observed, exposition = self.observed(application)
        with pytest.raises(MemoryError):
            observed({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
        assert plain(exposition.text())["cloudkitty_api_requests_total"] == {
            ("GET", "none", "500"): 1
        }

    def test_the_numbers_are_not_counted_themselves(self) -> None:
        observed, exposition = self.observed(None)
        with CountedRequests(Exposition()).query("sums"):
            pass
        status, headers, body = ask(observed, "/metrics")
        assert status == "200 OK"
        assert headers["Content-Type"].startswith("text/plain; version=")
        assert b"".join(body) == exposition.text()
        assert "cloudkitty_api_requests_total" not in read(exposition.text())


def test_the_server_shows_numbers_and_nothing_else() -> None:
    shown = Shown(Exposition())
    assert ask(shown, "/")[0] == "404 Not Found"
    assert ask(shown, "/metrics", "POST")[:2] == (
        "405 Method Not Allowed",
        {"Content-Type": "text/plain", "Content-Length": "10", "Allow": "GET, HEAD"},
    )
    assert ask(shown, "/metrics", "HEAD")[2] == [b""]


def test_a_process_that_has_just_made_its_file_has_counted_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "counter_1.db").touch()
    other = MmapedDict(str(tmp_path / "counter_2.db"))
    other.write_value(mmap_key("points", "points_total", (), (), "Points."), 3.0, 0.0)
    other.close()
    assert plain(Exposition(tmp_path).text()) == {"points_total": {(): 3.0}}


def test_quotes_and_questions_to_the_ledger_are_timed() -> None:
    exposition = Exposition()
    telemetry = CountedRequests(exposition)
    with telemetry.quote(), telemetry.query("sums"):
        pass
    with pytest.raises(ValueError), telemetry.query("sums"):
        raise ValueError
    found = plain(exposition.text())
    assert found["cloudkitty_api_quote_seconds_count"] == {(): 1}
    assert found["cloudkitty_api_query_seconds_count"] == {("sums",): 2}
