# SPDX-License-Identifier: Apache-2.0
"""Asks the metering API (version 2) through python-ceilometerclient.

Invariants: numbers become ``Decimal`` from the text of the answer; an answer is whole or an
error, never cut short; requests are repeated a bounded number of times; every error says what
was asked, of which URL, and which option would help. As questions are about all scopes, no error
would go away with fewer of them: all are ``SourceUnavailable``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote

from keystoneauth1 import adapter, noauth
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty.collector.base import SourceUnavailable
from cloudkitty.config import ConfigurationError
from cloudkitty.period import UTC, Period

GROUP = "collector_ceilometer"

_TRIES_AGAIN = 3
_BUSY = (429, 500, 502, 503, 504)
_DEFAULT_TIMEOUT = 60

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
        api = _Api(_adapter(conf))
        self._api = api
        self._statistics = _plain(statistics.StatisticsManager)(api)
        self._resources = _plain(resources.ResourceManager)(api)
        self._latest = _plain(samples.OldSampleManager)(api)
        self._samples = _plain(query.QuerySamplesManager)(api)

    def statistics(
        self, meter: str, window: Period, groupby: Sequence[str], only: Only | None
    ) -> list[Item]:
        """Return min, max, avg, sum, count and the times of the first and last sample for each
        group of the samples in the window."""
        with self._api.asking(f"statistics of meter {meter!r}"):
            return list(
                self._statistics.list(
                    quote(meter, safe=""), q=_query(window, only), groupby=list(groupby)
                )
            )

    def resources(self, window: Period, only: Only | None) -> list[Item]:
        """Return every resource with a sample in the window, as its last sample there says.

        :raises SourceUnavailable: there are more than ``page_size``.
        """
        with self._api.asking("resources"):
            found = list(
                self._resources.list(q=_query(window, only), links=False, limit=self._page_size + 1)
            )
        if len(found) > self._page_size:
            raise SourceUnavailable(
                f"more than {self._page_size} resources have samples in {window}, and the metering "
                f"API lists them in one piece: raise [{GROUP}] page_size"
            )
        return found

    def samples(self, meter: str, window: Period, only: Only | None) -> Iterator[Item]:
        """Yield the samples of the window in the order of time, page by page.

        :raises SourceUnavailable: a whole page of them has one time.
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
                raise SourceUnavailable(
                    f"{self._page_size} samples of meter {meter!r} or more have the time {last}: "
                    f"raise [{GROUP}] page_size"
                )
            if last != since:
                since, seen = last, set()
            seen |= {sample["id"] for sample in page if sample["timestamp"] == last}

    def meter_type(self, meter: str) -> str | None:
        """Return gauge, delta or cumulative, ``None`` when there is no sample of the meter."""
        with self._api.asking(f"the type of meter {meter!r}"):
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
        with self._api.asking(f"samples of meter {meter!r}"):
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


def _adapter(conf: cfg.ConfigOpts) -> adapter.Adapter:
    """An HTTP client that knows the way to the API, and tries again what may pass."""
    options = conf[GROUP]
    try:
        auth = keystone_loading.load_auth_from_conf_options(conf, GROUP)
    except (keystone_errors.ClientException, cfg.Error) as error:
        raise ConfigurationError(f"[{GROUP}] auth_type: {error}") from error
    if auth is None:
        if not options.endpoint:
            raise ConfigurationError(
                f"[{GROUP}] endpoint: give the URL of the metering API, or auth_type and its "
                "options to find it in the service catalogue"
            )
        auth = noauth.NoAuth()
    session = keystone_loading.load_session_from_conf_options(
        conf, GROUP, auth=auth, timeout=options.timeout or _DEFAULT_TIMEOUT
    )
    return adapter.Adapter(
        session,
        service_type="metering",
        interface=options.interface,
        region_name=options.region_name,
        endpoint_override=options.endpoint,
        user_agent="cloudkitty",
        connect_retries=_TRIES_AGAIN,
        status_code_retries=_TRIES_AGAIN,
        retriable_status_codes=list(_BUSY),
        raise_exc=False,
    )


class _Api:
    """The HTTP layer of python-ceilometerclient's managers, exact about numbers and whole
    sentences about errors."""

    def __init__(self, http: adapter.Adapter) -> None:
        self._http = http

    def asking(self, what: str) -> "_Question":
        """Name, for errors, what is asked inside the ``with`` block."""
        return _Question(what, self._http.endpoint_override)

    def get(self, url: str) -> "_Answer":
        return _Answer(self._http.get(url))

    def post(self, url: str, json: object) -> "_Answer":
        return _Answer(self._http.post(url, json=json))


class _Refused(Exception):
    """An answer with an error status."""

    def __init__(self, response: Any) -> None:
        super().__init__(_fault(response))
        self.status: int = response.status_code


class _NotJson(Exception):
    """An answer that is no JSON list."""


class _Answer:
    """An answer with a status of success."""

    def __init__(self, response: Any) -> None:
        if response.status_code >= 400:
            raise _Refused(response)
        self.content: bytes = response.content or b" "

    def json(self) -> list[Item]:
        try:
            data = json.loads(self.content, parse_float=Decimal, parse_constant=Decimal)
        except ValueError as error:
            raise _NotJson(f"{error} in {self.content[:80]!r}") from error
        if not isinstance(data, list):
            raise _NotJson(f"expected a list, not {self.content[:80]!r}")
        return data


class _Question:
    """Turns what goes wrong while asking into the collector's errors."""

    def __init__(self, what: str, endpoint: str | None) -> None:
        self._what = what
        self._where = (
            f"[{GROUP}] endpoint {endpoint}"
            if endpoint
            else f"the metering API that [{GROUP}] finds in the service catalogue"
        )

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        told = self._told(error)
        if told is not None:
            raise told from error

    def _told(self, error: BaseException | None) -> SourceUnavailable | None:
        asked = f"asking for {self._what}: {self._where}"
        match error:
            case _Refused(status=401 | 403 as status):
                return SourceUnavailable(
                    f"{asked} refuses access ({status} {error}): check auth_type and the "
                    f"credentials in [{GROUP}], and that the user may read all projects"
                )
            case keystone_errors.Unauthorized() | keystone_errors.Forbidden():
                return SourceUnavailable(
                    f"asking for {self._what}: the identity service refuses the credentials in "
                    f"[{GROUP}]: {error}"
                )
            case _Refused(status=status):
                return SourceUnavailable(f"{asked} answers {status} {error}")
            case _NotJson():
                return SourceUnavailable(f"{asked} gives an answer that cannot be read: {error}")
            case keystone_errors.EndpointNotFound() | keystone_errors.EmptyCatalog():
                return SourceUnavailable(
                    f"asking for {self._what}: the service catalogue has no service of type "
                    f"'metering' for [{GROUP}] interface and region_name: {error}"
                )
            case keystone_errors.ClientException():
                return SourceUnavailable(f"{asked} does not answer: {error}")
        return None


def _fault(response: Any) -> str:
    """The sentence in an error answer."""
    try:
        message = json.loads(response.content)["error_message"]
        return str(message["faultstring"] if isinstance(message, dict) else message).strip()
    except (ValueError, KeyError, TypeError):
        return str(response.reason or "")
