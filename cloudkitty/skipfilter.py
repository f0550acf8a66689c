# SPDX-License-Identifier: Apache-2.0
"""The skip filter: which rated points are not stored.

Invariants: a metric has its own expression or the default one; points keep their order; an
expression that is the same for every point costs nothing a point, one that reads attributes alone
is computed once a series.
"""

from collections.abc import Mapping
from itertools import compress
from typing import Any

from cloudkitty.dataframe import DataFrame, Points, Series
from cloudkitty.expression import Expression, Needs
from cloudkitty.operations import EvaluationError, View

SERIES_KEPT = 500_000


class SkipFilter:
    """Takes out of frames the points for which an expression holds."""

    def __init__(
        self,
        default: Expression,
        by_metric: Mapping[str, Expression],
        series_kept: int = SERIES_KEPT,
    ) -> None:
        """*by_metric* has the expressions of metrics that do not go by *default*; of *series_kept*
        series at most it is remembered whether an expression holds."""
        self._default = default
        self._by_metric = dict(by_metric)
        self._keeps_all = all(
            expression.constant is False for expression in (default, *by_metric.values())
        )
        self._series_kept = series_kept
        self._known: dict[Expression, dict[Series, bool]] = {}

    def kept(self, frame: DataFrame) -> DataFrame:
        """Return the frame without the points to be skipped.

        :raises EvaluationError: an expression has no value for a point; the message names both.
        """
        if self._keeps_all:
            return frame
        usage = {metric: self._kept(metric, points) for metric, points in frame.usage.items()}
        return DataFrame(frame.period, usage)

    def _kept(self, metric: str, points: Points) -> Points:
        expression = self._by_metric.get(metric, self._default)
        if expression.constant is not None:
            return Points() if expression.constant else points
        if expression.needs == Needs.SERIES:
            keep = [not self._holds_always(expression, series) for series in points.series]
        elif Needs.HISTORY in expression.needs:
            keep = _kept_with_history(expression, points)
        else:
            keep = _kept_by_point(expression, points)
        if all(keep):
            return points
        return Points(
            list(compress(points.series, keep)),
            list(compress(points.qty, keep)),
            list(compress(points.price, keep)),
        )

    def _holds_always(self, expression: Expression, series: Series) -> bool:
        """Whether an expression that reads attributes alone holds for the points of a series."""
        known = self._known.setdefault(expression, {})
        holds = known.get(series)
        if holds is None:
            if len(known) >= self._series_kept:
                known.clear()
            holds = known[series] = _holds(expression, View(series))
        return holds


def _kept_by_point(expression: Expression, points: Points) -> list[bool]:
    keep: list[bool] = []
    if not points:
        return keep
    view = View(points.series[0])
    for view.series, view.qty, view.price in zip(
        points.series, points.qty, points.price, strict=True
    ):
        keep.append(not _holds(expression, view))
    return keep


def _kept_with_history(expression: Expression, points: Points) -> list[bool]:
    keep: list[bool] = []
    filtered: list[dict[str, Any]] = []
    excluded: list[dict[str, Any]] = []
    for point in points:
        view = View(*point, filtered, excluded)
        holds = _holds(expression, view)
        (excluded if holds else filtered).append(view.form())
        keep.append(not holds)
    return keep


def _holds(expression: Expression, view: View) -> bool:
    try:
        return expression.holds(view)
    except EvaluationError as error:
        raise EvaluationError(
            f"metric {view.series.metric}: skip_datapoints_expression {expression.source}: "
            f"{error}, for {view.series.desc}"
        ) from error
