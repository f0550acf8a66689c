# SPDX-License-Identifier: Apache-2.0
"""The metrics file: which metrics are collected, and how a raw value becomes a quantity.

Invariants: a definition that exists is right; all mistakes of a file are reported at once, each
with its path; factor and offset are exact ratios, and a quantity is rounded once.
"""

import enum
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Any

import voluptuous as vol

from cloudkitty import money
from cloudkitty.collector import schema, yamltext
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Shape
from cloudkitty.expression import Expression

CheckExtraArgs = Callable[[Mapping[str, object]], Mapping[str, object]]
"""A collector's ``check_extra_args``."""

Others = Mapping[str, CheckExtraArgs]
"""The collectors that a definition may name, by name; reading one out of it may raise
``ConfigurationError``."""

_NO_OTHERS: Others = MappingProxyType({})

_OPTION = "[collect] metrics_conf"

QUANTITIES_KEPT = 10_000
"""How many raw values each definition remembers the quantity of."""


class MetricsError(Exception):
    """The metrics file is missing or wrong; ``problems`` has a line for every mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Mutate(enum.Enum):
    """What becomes of a quantity after factor and offset."""

    NONE = "NONE"
    NUMBOOL = "NUMBOOL"
    NOTNUMBOOL = "NOTNUMBOOL"
    FLOOR = "FLOOR"
    CEIL = "CEIL"
    MAP = "MAP"


@dataclass(frozen=True)
class MetricDefinition:
    """One kind of usage: where it comes from, what it is called, how it is converted.

    ``name`` is the metric in the source, ``service`` the one that rating and storage use.
    ``extra_args`` have been checked by ``collector`` and have its defaults; ``written_args`` are
    those of the file.
    """

    name: str
    service: str
    unit: str
    description: str | None = None
    factor: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    groupby: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    mutate: Mutate = Mutate.NONE
    mutate_map: Mapping[Decimal, Decimal] = field(default_factory=dict, hash=False)
    skip_datapoints_expression: Expression | None = None
    extra_args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    collector: str = ""
    written_args: Mapping[str, Any] = field(
        default_factory=dict, hash=False, compare=False, repr=False
    )

    def __str__(self) -> str:
        return f"{self.name} (collector {self.collector})"

    @cached_property
    def shape(self) -> Shape:
        """What all series of this definition share; attribute names are sorted in it."""
        return Shape(
            self.service,
            self.unit,
            self.description,
            tuple(sorted(self.groupby)),
            tuple(sorted(self.metadata)),
        )

    def quantity(self, raw: Decimal | Fraction) -> Decimal:
        """Return the quantity that a raw value of the source stands for: times factor, plus
        offset, rounded once to 28 significant digits, then mutated.

        :raises money.NotAnAmount: *raw* is not finite, or the quantity is too large.
        """
        if not isinstance(raw, Decimal):
            return self._converted(raw)
        # Most raw values come again and again: each is converted once, and all points that have
        # it share one object.
        text = str(raw)
        known = self._quantities.get(text)
        if known is None:
            if len(self._quantities) >= QUANTITIES_KEPT:
                self._quantities.clear()
            known = self._quantities[text] = self._converted(raw)
        return known

    @cached_property
    def _quantities(self) -> dict[str, Decimal]:
        """Quantities by the text of the raw value, which says all of it."""
        return {}

    def _converted(self, raw: Decimal | Fraction) -> Decimal:
        if isinstance(raw, Decimal):
            if not raw.is_finite():
                raise money.NotAnAmount(f"{raw} is not a finite number")
            if self._is_plain:
                return self._mutated(money.RATING.plus(raw))
        return self._mutated(money.amount(Fraction(raw) * self.factor + self.offset))

    @cached_property
    def _is_plain(self) -> bool:
        return self.factor == 1 and not self.offset

    def _mutated(self, value: Decimal) -> Decimal:
        match self.mutate:
            case Mutate.NONE:
                return money.amount(value)
            case Mutate.NUMBOOL:
                return money.ONE if value else money.ZERO
            case Mutate.NOTNUMBOOL:
                return money.ZERO if value else money.ONE
            case Mutate.FLOOR:
                return money.amount(value.to_integral_value(ROUND_FLOOR))
            case Mutate.CEIL:
                return money.amount(value.to_integral_value(ROUND_CEILING))
            case Mutate.MAP:
                return self.mutate_map.get(value, money.ZERO)


@dataclass(frozen=True)
class MetricsFile:
    """All definitions in the order of the file; ``raw`` is the file as JSON-able data.

    Several definitions may have one service name (the same service from several meters).
    """

    definitions: tuple[MetricDefinition, ...]
    raw: Any = field(hash=False)

    def __iter__(self) -> Iterator[MetricDefinition]:
        return iter(self.definitions)

    def __len__(self) -> int:
        return len(self.definitions)

    @cached_property
    def by_service(self) -> Mapping[str, MetricDefinition]:
        """The (first) definition of each service, in the order of the file."""
        services: dict[str, MetricDefinition] = {}
        for definition in self.definitions:
            services.setdefault(definition.service, definition)
        return services

    @cached_property
    def collectors(self) -> tuple[str, ...]:
        """The names of the collectors in use, in the order of the file."""
        return tuple(dict.fromkeys(definition.collector for definition in self.definitions))

    @cached_property
    def skip_expressions(self) -> Mapping[str, Expression]:
        """The skip expression of each service that has its own."""
        return {
            definition.service: definition.skip_datapoints_expression
            for definition in self.definitions
            if definition.skip_datapoints_expression is not None
        }

    def service(self, name: str) -> MetricDefinition | None:
        """Return the (first) definition with this service name, ``None`` when there is none."""
        return self.by_service.get(name)


def load(
    path: str | pathlib.Path,
    scope_key: str,
    check_extra_args: CheckExtraArgs,
    *,
    collector: str = "",
    others: Others = _NO_OTHERS,
) -> MetricsFile:
    """Read the metrics file.

    *scope_key* is appended to every group-by without it. A definition that names no collector is
    of *collector*, whose *check_extra_args* fills in defaults and raises ``voluptuous.Invalid``;
    it may name one of *others*.

    :raises MetricsError: with every mistake of the file.
    """
    try:
        written = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MetricsError([f"{_OPTION}: cannot read {path}: {reason}"]) from error
    return read(
        written, scope_key, check_extra_args, name=str(path), collector=collector, others=others
    )


def read(
    written: str,
    scope_key: str,
    check_extra_args: CheckExtraArgs,
    *,
    name: str = _OPTION,
    collector: str = "",
    others: Others = _NO_OTHERS,
) -> MetricsFile:
    """Read the text of a metrics file as ``load`` does; *name* is what errors call it.

    :raises MetricsError: with every mistake.
    """
    try:
        form, duplicates = yamltext.parse(written)
    except yamltext.YamlError as error:
        raise MetricsError([f"{name}: {error}"]) from error
    reader = _Reader(scope_key, check_extra_args, collector, others)
    definitions = reader.definitions(form)
    problems = [f"{name}: {problem}" for problem in (*duplicates, *reader.problems)]
    if problems:
        raise MetricsError(problems)
    return MetricsFile(tuple(definitions), yamltext.jsonable(form))


_MISSING_UNIT = "missing; name what one of it is called, like GiB"

_DEFINITION = schema.record(
    {
        vol.Required("unit", msg=_MISSING_UNIT): schema.text,
        vol.Optional("description"): schema.text,
        vol.Optional("factor", default="1"): schema.ratio,
        vol.Optional("offset", default="0"): schema.ratio,
        vol.Optional("alt_name"): schema.text,
        vol.Optional("collector"): schema.text,
        vol.Optional("groupby", default=()): schema.names,
        vol.Optional("metadata", default=()): schema.names,
        vol.Optional("mutate", default="NONE"): schema.one_of([kind.value for kind in Mutate]),
        vol.Optional("mutate_map"): schema.number_map,
        vol.Optional("skip_datapoints_expression"): schema.expression,
        vol.Optional("extra_args"): schema.mapping,
    }
)


class _Reader:
    """Turns the parsed file into definitions and collects every mistake with its path."""

    def __init__(
        self, scope_key: str, check_extra_args: CheckExtraArgs, collector: str, others: Others
    ) -> None:
        self._scope_key = scope_key
        self._check_extra_args = check_extra_args
        self._collector = collector
        self._others = others
        self.problems: list[str] = []

    def definitions(self, form: object) -> list[MetricDefinition]:
        if not isinstance(form, Mapping):
            self.problems.append("the file must be a map with the one key 'metrics'")
            return []
        self.problems += [
            schema.problem(schema.unknown(key, ["metrics"], "key"), key)
            for key in form
            if key != "metrics"
        ]
        metrics = form.get("metrics")
        if not isinstance(metrics, Mapping) or not metrics:
            message = "must be a map of metric name to definition, with at least one metric"
            self.problems.append(schema.problem(message, "metrics"))
            return []
        found = [one for name, entry in metrics.items() for one in self._metric(name, entry)]
        self._check_skip_expressions(found)
        return found

    def _metric(self, name: object, entry: object) -> list[MetricDefinition]:
        place = ("metrics", name)
        if not isinstance(name, str) or not name:
            message = "the name of a metric must be a text; put it in quotes"
            self.problems.append(schema.problem(message, "metrics", str(name)))
            return []
        if not isinstance(entry, list):
            definition = self._definition(name, entry, *place)
            return [definition] if definition else []
        if not entry:
            self.problems.append(schema.problem("must have at least one definition", *place))
        found: list[MetricDefinition] = []
        first: dict[tuple[str | None, str], int] = {}
        for index, form in enumerate(entry):
            definition = self._definition(name, form, *place, index)
            if definition:
                found.append(definition)
            alike = first.setdefault(self._key(form), index)
            if alike != index:
                self.problems.append(
                    schema.problem(
                        f"has the same alt_name as [{alike}]: definitions of one metric need "
                        "different ones, or different collectors",
                        *place,
                        index,
                    )
                )
        return found

    def _key(self, form: object) -> tuple[str | None, str]:
        """What tells the definitions of one metric apart."""
        if not isinstance(form, Mapping):
            return None, self._collector
        return form.get("alt_name"), str(form.get("collector", self._collector))

    def _definition(self, name: str, form: object, *place: object) -> MetricDefinition | None:
        before = len(self.problems)
        checked: dict[str, Any] = {}
        try:
            checked = _DEFINITION(form)
        except vol.Invalid as error:
            self.problems += schema.problems(error, *place)
        if isinstance(form, Mapping):
            self._check_mutation(form, *place)
            checked["written_args"] = checked.get("extra_args", {})
            checked["extra_args"] = self._extra_args(form, *place)
        if len(self.problems) > before:
            return None
        return self._built(name, checked)

    def _check_skip_expressions(self, definitions: list[MetricDefinition]) -> None:
        """Points of one service are told apart no longer when they are skipped."""
        first: dict[str, MetricDefinition] = {}
        for one in definitions:
            if one.skip_datapoints_expression is None:
                continue
            other = first.setdefault(one.service, one)
            if other.skip_datapoints_expression != one.skip_datapoints_expression:
                self.problems.append(
                    schema.problem(
                        f"differs from that of {other.name}: both are the service {one.service}, "
                        "which can have only one",
                        *("metrics", one.name, "skip_datapoints_expression"),
                    )
                )

    def _check_mutation(self, form: Mapping[str, object], *place: object) -> None:
        has_map = "mutate_map" in form
        if form.get("mutate") == Mutate.MAP.value and not has_map:
            message = "missing; mutate: MAP needs it, like {0: 1, 11: 1}"
        elif form.get("mutate") != Mutate.MAP.value and has_map:
            message = "has an effect only with mutate: MAP"
        else:
            return
        self.problems.append(schema.problem(message, *place, "mutate_map"))

    def _extra_args(self, form: Mapping[str, object], *place: object) -> Mapping[str, Any]:
        extra_args = form.get("extra_args", {})
        if not isinstance(extra_args, Mapping):
            return {}  # the schema of the definition has said so
        check = self._check_of(form, *place)
        if check is None:
            return {}
        try:
            return dict(check(extra_args))
        except vol.Invalid as error:
            self.problems += schema.problems(error, *place, "extra_args")
            return {}

    def _check_of(self, form: Mapping[str, object], *place: object) -> CheckExtraArgs | None:
        """Return the check of the definition's collector, if there is such a collector."""
        name = form.get("collector", self._collector)
        if name == self._collector:
            return self._check_extra_args
        if not isinstance(name, str) or not name:
            return None  # the schema of the definition has said so
        if name not in self._others:
            known = {*self._others, self._collector} - {""}
            message = schema.unknown(name, known, "collector")
        else:
            try:
                return self._others[name]
            except ConfigurationError as error:
                message = str(error)
        self.problems.append(schema.problem(message, *place, "collector"))
        return None

    def _built(self, name: str, checked: dict[str, Any]) -> MetricDefinition:
        alt_name = checked.pop("alt_name", None)
        groupby = checked.pop("groupby")
        if self._scope_key not in groupby:
            groupby = (*groupby, self._scope_key)
        return MetricDefinition(
            name=name,
            service=alt_name or name,
            groupby=groupby,
            mutate=Mutate(checked.pop("mutate")),
            collector=checked.pop("collector", self._collector),
            **checked,
        )
