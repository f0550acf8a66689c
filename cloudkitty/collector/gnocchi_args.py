# SPDX-License-Identifier: Apache-2.0
"""The ``extra_args`` of the collector ``gnocchi``: their check, and what follows from them.

Invariants: pure; arguments that have been checked have all their defaults.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import voluptuous as vol

from cloudkitty.collector import gnocchi_usage as usage
from cloudkitty.collector import schema
from cloudkitty.collector.gnocchi_usage import AGGREGATIONS, RATE, Granule, Part
from cloudkitty.period import Period

Args = Mapping[str, Any]

_PERCENTILE = re.compile(r"[1-9][0-9]?pct")

_UNDERSTOOD = ("mean", "median", "std", "min", "max", "sum", "count")
"""The operations that Gnocchi can aggregate series by."""


def _aggregation(percentiles: bool) -> schema.Validator:
    names = ", ".join(AGGREGATIONS) + (", 1pct to 99pct" if percentiles else "")

    def check(value: object) -> str:
        if isinstance(value, str):
            plain = value.removeprefix(RATE)
            if plain in AGGREGATIONS or (percentiles and _PERCENTILE.fullmatch(plain)):
                return value
        raise vol.Invalid(f"must be one of {names}, or one of these after {RATE!r}, not {value!r}")

    return check


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise vol.Invalid(f"must be a whole number of seconds, or 0, not {value!r}")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise vol.Invalid(f"must be true or false, not {value!r}")
    return value


def _query(value: object) -> str:
    if value == "":
        return ""
    written = schema.text(value)
    if written.count("(") != written.count(")") or not written.strip().startswith("("):
        raise vol.Invalid(
            f"must be an operation in parentheses, like {_DEFAULT_QUERY}, not {written!r}"
        )
    if "aggregate" not in written or "metric" not in written:
        raise vol.Invalid(f"must aggregate a metric, like {_DEFAULT_QUERY}")
    return written


_DEFAULT_QUERY = "(aggregate RE_AGGREGATION_METHOD (metric METRIC_NAME AGGREGATION_METHOD))"

_MISSING_TYPE = "missing; name the type of the resources in Gnocchi, like instance"

_SCHEMA = schema.record(
    {
        vol.Required("resource_type", msg=_MISSING_TYPE): schema.text,
        vol.Optional("resource_key", default="id"): schema.text,
        vol.Optional("aggregation_method", default="max"): _aggregation(True),
        vol.Optional("re_aggregation_method", default="max"): _aggregation(False),
        vol.Optional("force_granularity", default=3600): _seconds,
        vol.Optional("use_all_resource_revisions", default=True): _boolean,
        vol.Optional("custom_query", default=""): _query,
        vol.Optional("rounding", default="none"): schema.one_of(["none", "whole"]),
        vol.Optional("interval", default=300): schema.positive,
    }
)


def check(extra_args: Mapping[str, object]) -> Args:
    """Return the arguments with defaults.

    :raises voluptuous.Invalid: with every mistake and its path.
    """
    checked: Args = _SCHEMA(extra_args)
    errors = []
    if is_amount(checked):
        method = checked["aggregation_method"]
        errors += [
            vol.Invalid(
                f"has no effect with aggregation_method: {method}, which is summed up", path=[name]
            )
            for name in ("rounding", "interval")
            if name in extra_args
        ]
    of_many = usage.RE_AGGREGATIONS_OF_MANY
    again = checked["re_aggregation_method"].removeprefix(RATE)
    if checked["resource_key"] != "id" and again not in of_many:
        errors.append(
            vol.Invalid(
                f"must be one of {', '.join(of_many)}, by which resources with one "
                f"{checked['resource_key']} become one",
                path=["re_aggregation_method"],
            )
        )
    if errors:
        raise vol.MultipleInvalid(errors)
    return checked


def is_amount(args: Args) -> bool:
    """Return whether measures are summed up over the period; else they are levels."""
    return usage.is_amount(args["aggregation_method"], args["re_aggregation_method"])


def lead(args: Args) -> int:
    """Return how many seconds before a period measures are needed to judge it."""
    granularity = args["force_granularity"]
    if is_amount(args):
        if not args["re_aggregation_method"].startswith(RATE):
            return 0
        # Gnocchi computes growth from what it is asked about: the measure before is needed.
        return granularity or int(args["interval"])
    if args["rounding"] == "whole":
        return 0
    return int(args["interval"]) + (granularity or int(args["interval"]))


def operations(metric: str, args: Args) -> object:
    """Return the operations that Gnocchi is asked to carry out for each resource."""
    method, again = args["aggregation_method"], args["re_aggregation_method"]
    if args["custom_query"]:
        return (
            args["custom_query"]
            .replace("RE_AGGREGATION_METHOD", again)
            .replace("AGGREGATION_METHOD", method)
            .replace("METRIC_NAME", metric)
        )
    # A resource has one series, which any aggregation leaves as it is; Gnocchi has no last.
    known = again.removeprefix(RATE) in _UNDERSTOOD
    again = again if known else ("rate:max" if again.startswith(RATE) else "max")
    return ["aggregate", again, ["metric", metric, method]]


def parts(
    args: Args, granules: Sequence[Granule], period: Period, cuts: Sequence[int]
) -> list[Part | None]:
    """Return what a resource used in the period, before, between and after *cuts*."""
    method, again = args["aggregation_method"], args["re_aggregation_method"]
    if is_amount(args):
        is_rate = usage.is_rate(method, again)
        return usage.amounts(granules, period, cuts, is_rate=is_rate)
    return usage.levels(
        granules,
        period,
        cuts,
        method,
        interval=args["interval"],
        is_whole=args["rounding"] == "whole",
    )
