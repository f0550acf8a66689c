# SPDX-License-Identifier: Apache-2.0
"""Asks the metering API (version 2) through python-ceilometerclient.

Invariants: numbers become ``Decimal`` from the text of the answer; an answer is whole or an
error, never cut short; requests are repeated a bounded number of times; every error says what
was asked, of which URL, and which option would help.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.period import UTC, Period
from cloudkitty.source import http, session
from cloudkitty.source.errors import Place, SourceError

GROUP = "collector_ceilometer"

_PLACE = Place("the metering API", GROUP, "endpoint", "metering")

Item = dict[str, Any]


class Only(NamedTuple):
    """Restricts an answer to the samples in which one field has one value."""

    field: str
    value: str


class CeilometerClient:
    """The questions that the collector asks. Several threads may use one client."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Build the session; nothing is asked yet.

        :raises ConfigurationError: there is neither an endpoint nor a way to find one.
        """
        from ceilometerclient.v2 import query, resources, samples, statistics

        options = conf[GROUP]
        self._page_size: int = options.page_size
        self._service = _service(conf)
        api = _Api(self._service)
        self._statistics = _plain(statistics.StatisticsManager)(api)
        self._resources = _plain(resources.ResourceManager)(api)
        self._latest = _plain(samples.OldSampleManager)(api)
        self._samples = _plain(query.QuerySamplesManager)(api)

    def statistics(
        self, meter: str, window: Period, groupby: Sequence[str], only: Only | None
    ) -> list[Item]:
        """Return min, max, avg, sum, count and the times of the first and last sample for each
        group of the samples in the window."""
        with self._service.asking(f"statistics of meter {meter!r}"):
            return list(
                self._statistics.list(
                    quote(meter, safe=""), q=_query(window, only), groupby=list(groupby)
                )
            )

    def resources(self, window: Period, only: Only | None) -> list[Item]:
        """Return every resource with a sample in the window, as its last sample there says.

        :raises SourceError: there are more than ``page_size``.
        """
        with self._service.asking("resources"):
            found = list(
                self._resources.list(q=_query(window, only), links=False, limit=self._page_size + 1)
            )
        if len(found) > self._page_size:
            raise SourceError(
                f"more than {self._page_size} resources have samples in {window}, and the metering "
                f"API lists them in one piece: raise [{GROUP}] page_size"
            )
        return found

    def samples(self, meter: str, window: Period, only: Only | None) -> Iterator[Item]:
        """Yield the samples of the window in the order of time, page by page.

        :raises SourceError: a whole page of them has one time.
        """
        since, seen = _text(window.begin), set[str]()
        while True:
            page = self._page(meter, since, _text(window.end), only)
            fresh = [sample for sample in page if sample["id"] not in seen]
            yield from fresh
            if len(page) < self._page_size:
                return
            last = page[-1]["timestamp"]
            if not fresh:
                raise SourceError(
                    f"{self._page_size} samples of meter {meter!r} or more have the time {last}: "
                    f"raise [{GROUP}] page_size"
                )
            if last != since:
                since, seen = last, set()
            seen |= {sample["id"] for sample in page if sample["timestamp"] == last}

    def close(self) -> None:
        """Close the connections that are kept."""
        self._service.close()

    def meter_type(self, meter: str) -> str | None:
        """Return gauge, delta or cumulative, ``None`` when there is no sample of the meter."""
        with self._service.asking(f"the type of meter {meter!r}"):
            latest = self._latest.list(quote(meter, safe=""), limit=1)
        return str(latest[0]["counter_type"]) if latest else None

    def _page(self, meter: str, since: str, until: str, only: Only | None) -> list[Item]:
        conditions: list[Mapping[str, Mapping[str, str]]] = [
            {"=": {"meter": meter}},
            {">=": {"timestamp": since}},
            {"<": {"timestamp": until}},
        ]
        if only:
            conditions.append({"=": {only.field: only.value}})
        with self._service.asking(f"samples of meter {meter!r}"):
            return list(
                self._samples.query(
                    filter=json.dumps({"and": conditions}),
                    orderby=json.dumps([{"timestamp": "asc"}]),
                    limit=self._page_size,
                )
            )


def _query(window: Period, only: Only | None) -> list[dict[str, str]]:
    """The filters of a question. The API matches ``q.field``, ``q.op``, ``q.value`` and ``q.type``
    by position, so that each of them is always given."""
    conditions = [
        ("timestamp", "ge", _text(window.begin)),
        ("timestamp", "lt", _text(window.end)),
    ]
    if only:
        conditions.append((only.field, "eq", only.value))
    return [
        {"field": field, "op": operator, "value": value, "type": ""}
        for field, operator, value in conditions
    ]


def _text(moment: Any) -> str:
    """An instant as the API writes it: UTC without saying so."""
    return str(moment.astimezone(UTC).replace(tzinfo=None).isoformat())


def _plain(manager: type[Any]) -> type[Any]:
    """The manager, with answers left as the plain data that they are."""
    return type(
        manager.__name__,
        (manager,),
        {"resource_class": staticmethod(lambda _manager, info, loaded=False: info)},
    )


def _service(conf: cfg.ConfigOpts) -> http.Service:
    """The way to the API: by its URL, or by the service catalogue."""
    options = conf[GROUP]
    auth = session.configured_auth(conf, GROUP)
    if auth is None and not options.endpoint:
        raise ConfigurationError(
            f"[{GROUP}] endpoint: give the URL of the metering API, or auth_type and its "
            "options to find it in the service catalogue"
        )
    made = session.client(
        session.configured_session(
            conf, GROUP, auth or session.NoAuth(), pool=conf.orchestrator.max_threads
        ),
        _PLACE,
        endpoint=options.endpoint,
        interface=options.interface,
        region_name=options.region_name,
    )
    return http.Service(made, _PLACE, conf.orchestrator.collector_request_timeout)


class _Api:
    """The HTTP layer of python-ceilometerclient's managers, exact about numbers."""

    def __init__(self, service: http.Service) -> None:
        self._service = service

    def get(self, url: str) -> "_Items":
        return _Items(self._service.get(url))

    def post(self, url: str, json: object) -> "_Items":
        return _Items(self._service.post(url, json))


class _Items:
    """An answer as the managers read it, which has to be a list."""

    def __init__(self, answer: http.Answer) -> None:
        self.content: bytes = answer.content() or b" "

    def json(self) -> list[Item]:
        data = http.read_json(self.content)
        if not isinstance(data, list):
            raise TypeError(f"expected a list, not {self.content[:80]!r}")
        return data
