# SPDX-License-Identifier: Apache-2.0
"""What each form of an expression does: the operations of ``cloudkitty.expression`` as functions.

Invariants: an operation reads the view it is given and changes nothing; every number is an exact
``Decimal``, and arithmetic is that of rating; what cannot be computed is an ``EvaluationError``.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any

from cloudkitty import money
from cloudkitty.dataframe import Point, Scalar, Series


class EvaluationError(Exception):
    """The expression has no value for a point; the message says why."""


@dataclass(slots=True)
class View:
    """What an expression sees: a point, and the forms of those of its metric before it, kept
    (``filtered``) and skipped (``excluded``)."""

    series: Series
    qty: Decimal = money.ZERO
    price: Decimal = money.ZERO
    filtered: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[dict[str, Any]] = field(default_factory=list)

    def form(self) -> dict[str, Any]:
        """Return the dictionary form of the point."""
        form = Point(self.series, self.qty, self.price).as_dict()
        for section in ("groupby", "metadata"):
            form[section] = values(form[section])
        return form


Run = Callable[[View], Any]
"""An operation with its operands."""


def _value(attribute: Scalar) -> object:
    """Return an attribute as expressions see it: a number is a ``Decimal``."""
    if isinstance(attribute, str | bool) or attribute is None:
        return attribute
    return Decimal(str(attribute))


def values(attributes: Mapping[str, Scalar]) -> dict[str, object]:
    """Return attributes as expressions see them."""
    return {name: _value(attribute) for name, attribute in attributes.items()}


def kind(value: object) -> str:
    """Return what people call a value of this kind."""
    match value:
        case None:
            return "None"
        case bool():
            return "a truth value"
        case Decimal():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
    return "a map"


# -- reading ----------------------------------------------------------------------------------


def attribute(section: str, name: str, default: Run | None = None) -> Run:
    """Read one attribute of ``groupby`` or ``metadata``."""

    def read(view: View) -> object:
        shape = view.series.shape
        names = shape.groupby if section == "groupby" else shape.metadata
        if name in names:
            first = 0 if section == "groupby" else len(shape.groupby)
            return _value(view.series.values[first + names.index(name)])
        if default is None:
            raise EvaluationError(f'the point has no datapoint["{section}"]["{name}"]')
        return default(view)

    return read


def description(default: Run | None = None) -> Run:
    """Read the description of the point's metric."""

    def read(view: View) -> object:
        if view.series.description is not None:
            return view.series.description
        if default is None:
            raise EvaluationError('the point has no datapoint["description"]')
        return default(view)

    return read


def item(owner: Run, key: Run) -> Run:
    """``owner[key]``"""

    def read(view: View) -> object:
        whole, name = owner(view), key(view)
        if isinstance(whole, dict) and isinstance(name, str):
            if name not in whole:
                raise EvaluationError(f"there is no {name!r}")
            return whole[name]
        if not isinstance(whole, list | tuple | str) or not isinstance(name, Decimal):
            raise EvaluationError(f"{kind(whole)} has no item by {kind(name)}")
        if name != name.to_integral_value() or not -len(whole) <= name < len(whole):
            raise EvaluationError(f"there is no item {name} in {len(whole)}")
        return whole[int(name)]

    return read


def got(owner: Run, key: Run, default: Run) -> Run:
    """``owner.get(key, default)``"""

    def read(view: View) -> object:
        whole, name = owner(view), key(view)
        if not isinstance(whole, dict) or not isinstance(name, str):
            raise EvaluationError(f"get needs a map and a text, not {kind(whole)} and {kind(name)}")
        return whole[name] if name in whole else default(view)

    return read


# -- lists and logic --------------------------------------------------------------------------


def as_tuple(*parts: Run) -> Run:
    return lambda view: tuple(part(view) for part in parts)


def as_list(*parts: Run) -> Run:
    return lambda view: [part(view) for part in parts]


def conjunction(*parts: Run) -> Run:
    """``and``: the first operand that is false, else the last."""

    def run(view: View) -> object:
        result: object = True
        for part in parts:
            result = part(view)
            if not result:
                break
        return result

    return run


def disjunction(*parts: Run) -> Run:
    """``or``: the first operand that is true, else the last."""

    def run(view: View) -> object:
        result: object = False
        for part in parts:
            result = part(view)
            if result:
                break
        return result

    return run


def negation(part: Run) -> Run:
    return lambda view: not part(view)


def _compared(
    symbol: str, compare: Callable[[Any, Any], bool], left: object, right: object
) -> bool:
    try:
        return compare(left, right)
    except (TypeError, ArithmeticError):
        message = f"{kind(left)} cannot be compared with {kind(right)} by {symbol}"
        raise EvaluationError(message) from None


def _within(value: object, container: Any) -> bool:
    return value in container


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": _within,
    "not in": lambda value, container: value not in container,
    "is": operator.is_,
    "is not": operator.is_not,
}


def comparison(symbols: Sequence[str]) -> Callable[..., Run]:
    """``a < b <= c``: every neighbour compared, up to the first that is false."""
    steps = [(symbol, COMPARISONS[symbol]) for symbol in symbols]

    def make(first: Run, *others: Run) -> Run:
        def run(view: View) -> bool:
            left = first(view)
            for (symbol, compare), other in zip(steps, others, strict=True):
                right = other(view)
                if not _compared(symbol, compare, left, right):
                    return False
                left = right
            return True

        def run_one(view: View) -> bool:
            return _compared(*steps[0], first(view), others[0](view))

        return run_one if len(steps) == 1 else run

    return make


# -- numbers ----------------------------------------------------------------------------------

ARITHMETIC: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": money.RATING.add,
    "-": money.RATING.subtract,
    "*": money.RATING.multiply,
    "/": money.RATING.divide,
}


def arithmetic(symbol: str) -> Callable[[Run, Run], Run]:
    """``a + b`` and the like, of two numbers."""
    compute = ARITHMETIC[symbol]

    def make(first: Run, second: Run) -> Run:
        def run(view: View) -> Decimal:
            left, right = first(view), second(view)
            if not isinstance(left, Decimal) or not isinstance(right, Decimal):
                raise EvaluationError(f"{symbol} needs numbers, not {kind(left)} and {kind(right)}")
            try:
                return compute(left, right)
            except ArithmeticError:
                raise EvaluationError(f"{left} {symbol} {right} has no value") from None

        return run

    return make


def negative(part: Run) -> Run:
    """``-a``"""

    def run(view: View) -> Decimal:
        value = part(view)
        if not isinstance(value, Decimal):
            raise EvaluationError(f"- needs a number, not {kind(value)}")
        return money.RATING.minus(value)

    return run


# -- functions and methods --------------------------------------------------------------------


class _Unfit(Exception):
    """A function cannot be applied to these arguments."""


def _number(value: object) -> Decimal:
    if isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str | Decimal):
        raise _Unfit
    return money.amount(value)


def _whole(value: object) -> Decimal:
    if isinstance(value, str):
        return money.amount(int(value))
    return _number(value).to_integral_value(ROUND_DOWN)


def _length(value: object) -> Decimal:
    if not isinstance(value, str | list | tuple | dict):
        raise _Unfit
    return Decimal(len(value))


def _as_text(value: object) -> str:
    if isinstance(value, list | tuple | dict):
        raise _Unfit
    return str(value)


FUNCTIONS: Mapping[str, Callable[[Any], object]] = {
    "len": _length,
    "str": _as_text,
    "int": _whole,
    "Decimal": _number,
    "float": _number,
}
"""Functions of one argument. There is no binary floating point: ``float`` is exact too."""

METHODS: Mapping[str, tuple[Callable[..., object], int, int]] = {
    "startswith": (str.startswith, 1, 1),
    "endswith": (str.endswith, 1, 1),
    "lower": (str.lower, 0, 0),
    "upper": (str.upper, 0, 0),
    "strip": (str.strip, 0, 1),
}
"""Methods of texts, with the least and the most arguments of each."""


def applied(name: str, function: Callable[..., object]) -> Callable[..., Run]:
    """``function(a, ...)``, or ``a.function(...)``."""

    def make(*parts: Run) -> Run:
        def run(view: View) -> object:
            arguments = [part(view) for part in parts]
            try:
                return function(*arguments)
            except (_Unfit, TypeError):
                kinds = " and ".join(kind(argument) for argument in arguments)
                raise EvaluationError(f"{name} cannot be applied to {kinds}") from None
            except money.NotAnAmount as error:
                raise EvaluationError(str(error)) from None
            except ValueError:
                raise EvaluationError(f"{arguments[0]!r} is not a number for {name}") from None

        return run

    return make
