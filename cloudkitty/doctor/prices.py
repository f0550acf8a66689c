# SPDX-License-Identifier: Apache-2.0
"""Holds the rules of rating modules against the metrics file. Pure.

A metric is priced by a module that is enabled and has a rule in force for the metric, or for one of
its attributes, that makes a price by itself; or by a module whose rules may be about anything.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cloudkitty.collector.metrics import MetricsFile
from cloudkitty.doctor.finding import Finding, error, many, named, ok, warning
from cloudkitty.rating.base import Coverage, Target

SUBJECT = "prices"

Attributes = Mapping[str, Sequence[str]]
"""The attributes of each metric, by the name that rating knows it by."""


@dataclass(frozen=True)
class Module:
    """A rating module; ``coverage`` of ``None``: its rules may be about anything. ``problem`` is
    why it cannot be used."""

    name: str
    enabled: bool
    coverage: Coverage | None = None
    problem: str | None = None


def attributes(metrics: MetricsFile) -> dict[str, list[str]]:
    """Return what rules can be about."""
    found: dict[str, list[str]] = {}
    for metric in metrics:
        found.setdefault(metric.service, []).extend((*metric.groupby, *metric.metadata))
    return found


def check(metrics: MetricsFile, modules: Sequence[Module]) -> Iterator[Finding]:
    """Yield what is wrong with modules, with what their rules are about, and metrics without
    price."""
    known = attributes(metrics)
    meters = {metric.name: metric.service for metric in metrics}
    for module in modules:
        yield from _of_module(module)
        for target in module.coverage.targets if module.coverage else ():
            text = _unmatched(target, known, meters)
            if text:
                yield warning(module.name, text)
    yield from _unpriced(unpriced(known, modules), known)


def unpriced(known: Attributes, modules: Iterable[Module]) -> list[str]:
    """Return the metrics that no rule can make a price for."""
    acting = [module for module in modules if module.enabled and not module.problem]
    if any(one.coverage is None or one.coverage.general for one in acting):
        return []
    priced = {
        target.metric
        for module in acting
        for target in (module.coverage.targets if module.coverage else ())
        if target.pricing and (target.field is None or target.field in known.get(target.metric, ()))
    }
    return [name for name in known if name not in priced]


def _unpriced(names: Sequence[str], known: Attributes) -> Iterator[Finding]:
    if not names:
        yield ok(SUBJECT, f"each of {len(known)} metrics can get a price")
    elif len(names) == len(known):
        yield warning(
            SUBJECT,
            f"no enabled module has a rule in force that gives {named(names)} a price: everything "
            "costs 0",
        )
    else:
        for name in names:
            yield warning(
                f"metric {name}",
                "no enabled module has a rule in force that gives it a price: it costs 0",
            )


def _of_module(module: Module) -> Iterator[Finding]:
    rules = module.coverage.rules if module.coverage else 0
    if module.problem and module.enabled:
        yield error(module.name, f"is enabled and cannot be used: {module.problem}")
    elif module.problem:
        yield warning(module.name, f"cannot be used: {module.problem}")
    elif rules and not module.enabled:
        yield warning(
            module.name,
            f"has {many(rules, 'rule')} and is disabled, so that nothing is priced by it; enable "
            f"it with 'openstack rating module enable {module.name}', or delete them",
        )
    elif rules:
        yield ok(module.name, f"is enabled and has {many(rules, 'rule')}")


def _unmatched(target: Target, known: Attributes, meters: Mapping[str, str]) -> str | None:
    """The sentence about a target that no point will ever have."""
    rules = many(target.rules, "rule")
    if target.metric not in known:
        if target.field is not None:
            return None  # told of for the service
        return (
            f"service {target.metric!r} is no metric of [collect] metrics_conf: "
            f"{_hint(target.metric, known, meters)}"
        )
    if target.field is None or target.field in known[target.metric]:
        return None
    near = difflib.get_close_matches(target.field, known[target.metric], 1)
    hint = f"did you mean {near[0]!r}?" if near else "add it to one of them"
    return (
        f"field {target.field!r} of service {target.metric!r} ({rules}) is neither in groupby nor "
        f"in metadata of the metric in [collect] metrics_conf: {hint}"
    )


def _hint(name: str, known: Attributes, meters: Mapping[str, str]) -> str:
    if name in meters:
        return f"the metric {name!r} is called {meters[name]!r} by its alt_name"
    near = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
