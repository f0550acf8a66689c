# SPDX-License-Identifier: Apache-2.0
"""Asks a Prometheus, by its URL or behind the identity service's catalogue (Aetos).

Invariants: a value becomes ``Decimal`` from the text of the answer, which may be ``NaN`` or
infinite; an answer is a whole vector or an error, also when the server itself says that it lacks
something; whatever is put into a query is quoted.
"""

import datetime
import logging
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from keystoneauth1 import http_basic
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.source import http, session
from cloudkitty.source.errors import Malformed, Place, Refused, SourceError

LOG = logging.getLogger(__name__)

SERVICE_TYPE = "metric-storage"

OVERLOADED = ("execution", "timeout", "canceled")
"""Types of error that depend on how much, or what, a query comes across."""

_SUFFIX = "/api/v1"
_CLASSIC_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_CLASSIC_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_RESULT = "data.result"
_ITEM = f"{_RESULT}.item"
_LABELS = f"{_ITEM}.metric"
_LABEL = f"{_LABELS}."
_VALUE = f"{_ITEM}.value.item"
_WARNING = "warnings.item"
_INFO = "infos.item"
_ABOUT_QUERY = "PromQL "
"""How warnings begin that are about the query. The others are about data that is missing."""


class Sample(NamedTuple):
    """One series of an answer; the value may be ``NaN`` or infinite."""

    labels: Mapping[str, str]
    value: Decimal


class Prometheus:
    """A server. Several threads may ask it at the same time."""

    def __init__(self, service: http.Service, *, query: str, is_posted: bool) -> None:
        """*query* is the path of queries. They are posted as a form, or go in the URL."""
        self._service = service
        self._query = query
        self._is_posted = is_posted

    def takes(self, query: str) -> bool:
        """Return whether a query is short enough to be asked: a URL must pass servers and proxies
        that refuse more than some 4,000 characters; a form may have megabytes."""
        if self._is_posted:
            return len(query) <= 1_000_000
        return len(urllib.parse.quote_plus(query)) <= 3_000

    def vector(self, what: str, query: str, at: datetime.datetime | None = None) -> list[Sample]:
        """Return the instant vector that *query* evaluates to *at* an instant, now by default;
        *what* is asked for, in the words of errors.

        :raises SourceError: there is none.
        """
        fields = {"query": query}
        if at is not None:
            fields["time"] = at.isoformat(timespec="milliseconds")
        with self._service.asking(what):
            if self._is_posted:
                answer = self._service.post_form(self._query, fields)
            else:
                answer = self._service.get(self._query, fields)
            found = _Result(answer)
            samples = found.samples() if found.is_vector else []
        for told in (*found.warnings, *found.infos):
            LOG.debug("asking for %s: %s", what, told)
        lacking = [told for told in found.warnings if not told.startswith(_ABOUT_QUERY)]
        if lacking:
            raise Malformed(
                f"asking for {what}: the answer is said to be a part: {'; '.join(lacking)}"
            )
        if not found.is_vector:
            raise SourceError(
                f"asking for {what}: the query evaluates to a {found.kind}, and only an instant "
                f"vector has usage: {query}"
            )
        return samples

    def close(self) -> None:
        """Close the connections that are kept."""
        self._service.close()


def by_url(conf: cfg.ConfigOpts, group: str) -> Prometheus:
    """Return the Prometheus that the options in a section lead to.

    :raises ConfigurationError: they do not.
    """
    options = conf[group]
    url: str = (options.prometheus_url or "").rstrip("/")
    if not re.match(r"https?://[^/]", url) or not url.endswith(_SUFFIX):
        raise ConfigurationError(
            f"[{group}] prometheus_url: must be the URL of the HTTP API, like "
            f"http://localhost:9090{_SUFFIX}, not {options.prometheus_url!r}"
        )
    user, password = options.prometheus_user, options.prometheus_password
    if bool(user) != bool(password):
        missing = "prometheus_password" if user else "prometheus_user"
        raise ConfigurationError(
            f"[{group}] {missing}: missing; basic authentication needs both user and password"
        )
    made = session.plain_session(
        http_basic.HTTPBasicAuth(username=user, password=password) if user else session.NoAuth(),
        verify=not options.insecure and (options.cafile or True),
        timeout=options.timeout,
        pool=conf.orchestrator.max_threads,
    )
    place = Place("Prometheus", group, "prometheus_url")
    limit = conf.orchestrator.collector_request_timeout
    service = http.Service(session.client(made, place, endpoint=url), place, limit)
    return Prometheus(service, query="/query", is_posted=True)


def by_catalogue(conf: cfg.ConfigOpts, group: str) -> Prometheus:
    """Return the Prometheus that the service catalogue leads to.

    :raises ConfigurationError: the credentials are missing or wrong.
    """
    auth = session.configured_auth(conf, group)
    if auth is None:
        raise ConfigurationError(
            f"[{group}] auth_type: give it and its options, such as auth_type = password, to find "
            f"the service of type {SERVICE_TYPE!r} in the service catalogue"
        )
    place = Place("the Prometheus", group, "interface", SERVICE_TYPE)
    options = conf[group]
    made = session.client(
        session.configured_session(conf, group, auth, pool=conf.orchestrator.max_threads),
        place,
        interface=options.interface,
        region_name=options.region_name,
    )
    # Aetos answers to GET alone.
    service = http.Service(made, place, conf.orchestrator.collector_request_timeout)
    return Prometheus(service, query=f"{_SUFFIX}/query", is_posted=False)


def is_overloaded(error: SourceError) -> bool:
    """Return whether the server has understood the query and could not evaluate it: fewer or
    other scopes may help."""
    match error:
        case Refused(body={"errorType": kind}):
            return kind in OVERLOADED
    return False


def text(value: str) -> str:
    """Return *value* as a string of PromQL."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n") + '"'


def label(name: str) -> str:
    """Return the name of a label as PromQL writes it: in quotes (Prometheus 3) if need be."""
    return name if _CLASSIC_LABEL.fullmatch(name) else text(name)


def selector(metric: str, matchers: Iterable[str]) -> str:
    """Return what selects the series of a metric that all *matchers* hold for."""
    inside = list(matchers)
    if not _CLASSIC_METRIC.fullmatch(metric):
        return "{" + ",".join([f"__name__={text(metric)}", *inside]) + "}"
    return f"{metric}{{{','.join(inside)}}}" if inside else metric


def equals(name: str, value: str) -> str:
    """Return the matcher of one value."""
    return f"{label(name)}={text(value)}"


def is_one_of(name: str, values: Iterable[str]) -> str:
    """Return the matcher of several values. It is anchored at both ends."""
    return f"{label(name)}=~{text('|'.join(map(_literal, values)))}"


def is_given(name: str) -> str:
    """Return the matcher of all series with the label."""
    return f'{label(name)}!=""'


def _literal(value: str) -> str:
    """A value as a regular expression that matches nothing else."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", value)


class _Result:
    """An answer, decoded while it arrives, whatever the order of its keys."""

    def __init__(self, answer: http.Answer) -> None:
        self.warnings: list[str] = []
        self.infos: list[str] = []
        self._is_list = False
        self._items: list[_Series] = []
        told = self._read(answer)
        status = told.get("status")
        if status != "success":
            raise ValueError(f"its status is {status!r}: {told.get('error', 'no error is named')}")
        if "data.resultType" not in told:
            raise ValueError("it does not say of what type its result is")
        self.kind: str = told["data.resultType"]

    @property
    def is_vector(self) -> bool:
        return self.kind == "vector"

    def samples(self) -> list[Sample]:
        """Return the series of a vector, each of which is there once."""
        if not self._is_list:
            raise TypeError("its result is not a list")
        samples: list[Sample] = []
        seen = set()
        for one in self._items:
            labels, value = one.labels, one.value
            if labels is None or len(value) != 2 or not isinstance(value[1], str):
                raise TypeError(
                    f"expected labels, a time and the text of a value, not {labels} {value}"
                )
            seen.add(frozenset(labels.items()))
            if len(seen) == len(samples):
                raise ValueError(f"it has the series {labels} twice")
            samples.append(Sample(labels, Decimal(value[1])))
        return samples

    def _read(self, answer: http.Answer) -> dict[str, str]:
        """Keep the items of the result and the notes; return the other texts by their places."""
        told: dict[str, str] = {}
        labels: dict[str, str] = {}
        value: list[Any] = []
        key = ""
        for place, event, found in answer.events():
            if not place.startswith(_ITEM):
                if place == _RESULT:
                    self._is_list = event == "end_array"
                elif place == _WARNING:
                    self.warnings.append(str(found))
                elif place == _INFO:
                    self.infos.append(str(found))
                elif event == "string":
                    told[place] = found
            elif event == "map_key":
                key = found
            elif place.startswith(_LABEL):
                if event != "string":
                    raise TypeError(f"the label {key!r} is not a text")
                labels[key] = found
            elif place == _VALUE:
                value.append(found)
            elif place == _LABELS and event == "start_map":
                labels = self._items[-1].labels = {}
            elif place == _ITEM and event != "end_map":
                self._items.append(_Series())
                value = self._items[-1].value
        return told


class _Series:
    """An item of a result while it is read; ``labels`` are ``None`` until they are there."""

    __slots__ = ("labels", "value")

    def __init__(self) -> None:
        self.labels: dict[str, str] | None = None
        self.value: list[Any] = []
