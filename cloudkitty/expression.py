# SPDX-License-Identifier: Apache-2.0
"""A small language of conditions on a point: written like Python, never run as Python.

Invariants: an expression that exists is made of the allowed forms alone, ends after a number of
steps that its text bounds, and changes nothing; a number in it, of the point or a literal, is an
exact ``Decimal``; it reads of a point only what it names; what has no variable in it is computed
once, when the expression is read.
"""

import ast
import enum
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cloudkitty import money
from cloudkitty import operations as do
from cloudkitty.dataframe import Series, Shape
from cloudkitty.operations import EvaluationError, Run, View

LONGEST = 4000
"""Most characters of an expression."""

DEEPEST = 50
"""Most levels of operations inside each other."""

ALLOWED = (
    'allowed are texts, numbers, True, False, None, lists, datapoint["vol"]["qty"], '
    'datapoint["metadata"].get("NAME") and the like, comparisons, in, and, or, not, + - * /, '
    f"the functions {' '.join(do.FUNCTIONS)}, the methods get {' '.join(do.METHODS)}"
)


class ExpressionError(ValueError):
    """The text is no expression of this language; the message has the column."""


class Needs(enum.Flag):
    """What an expression reads; ``SERIES`` is all of a point that stays the same."""

    NOTHING = 0
    SERIES = enum.auto()
    QTY = enum.auto()
    PRICE = enum.auto()
    HISTORY = enum.auto()


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition, equal to one with the same source; ``constant`` is what it is for every
    point, ``None`` when that depends on the point."""

    source: str
    needs: Needs = field(compare=False)
    constant: bool | None = field(compare=False)
    _run: Run = field(compare=False, repr=False)

    @classmethod
    def read(cls, source: str) -> "Expression":
        """Return the expression that *source* is.

        :raises ExpressionError: it is none.
        """
        reader = _Reader(source)
        whole = reader.whole()
        constant = None if whole.needs else bool(whole.run(reader.nothing))
        return cls(source, whole.needs, constant, whole.run)

    def holds(self, view: View) -> bool:
        """Whether the condition is true.

        :raises EvaluationError: an attribute is missing, or a value is of the wrong kind.
        """
        return bool(self._run(view))


class _Node(NamedTuple):
    """A part of an expression that can be computed, and what it reads."""

    run: Run
    needs: Needs


def _constant(value: object) -> _Node:
    return _Node(lambda _view: value, Needs.NOTHING)


_VARIABLES: Mapping[str, _Node] = {
    "datapoint": _Node(View.form, Needs.SERIES | Needs.QTY | Needs.PRICE),
    "usage_data_metric_name": _Node(lambda view: view.series.metric, Needs.SERIES),
    "filtered_datapoints": _Node(lambda view: view.filtered, Needs.HISTORY),
    "excluded_datapoints": _Node(lambda view: view.excluded, Needs.HISTORY),
}

_UNIT = _Node(lambda view: view.series.unit, Needs.SERIES)
_QTY = _Node(lambda view: view.qty, Needs.QTY)
_PRICE = _Node(lambda view: view.price, Needs.PRICE)

_SECTIONS: Mapping[str, Mapping[str, _Node]] = {
    "datapoint": {
        "vol": _Node(
            lambda view: {"unit": view.series.unit, "qty": view.qty}, Needs.SERIES | Needs.QTY
        ),
        "rating": _Node(lambda view: {"price": view.price}, Needs.PRICE),
        "groupby": _Node(lambda view: do.values(view.series.groupby), Needs.SERIES),
        "metadata": _Node(lambda view: do.values(view.series.metadata), Needs.SERIES),
        "description": _Node(do.description(), Needs.SERIES),
    },
    "vol": {"unit": _UNIT, "qty": _QTY},
    "rating": {"price": _PRICE},
}
"""What a point and its sections have, apart from attributes."""

_ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}

_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}

_NONE = ast.Constant(value=None)

_ATTRIBUTES = ("groupby", "metadata")


class _Reader:
    """Turns the text of one expression into nested functions, one for each operation."""

    def __init__(self, source: str) -> None:
        self._source = source
        # As Python counts lines.
        self._text = source.replace("\r\n", "\n").replace("\r", "\n").strip()
        self._depth = 0
        self.nothing = View(Series(Shape("", "", None, (), ()), ()))

    def whole(self) -> _Node:
        if not self._text:
            raise ExpressionError("is empty; False keeps every point")
        if len(self._source) > LONGEST:
            raise ExpressionError(f"is longer than {LONGEST} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self._text, mode="eval")
        except SyntaxError as error:
            column = self._column(error.lineno or 1, (error.offset or 1) - 1)
            raise ExpressionError(f"{column}: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"cannot be read: {error or 'too deep'}") from None
        return self._node(tree.body)

    # -- errors --------------------------------------------------------------------------------

    def _column(self, line: int, offset: int) -> str:
        """Return the place of a character of the stripped text, as people count."""
        if line > 1:
            return f"line {line}, column {offset + 1}"
        return f"column {offset + 1 + len(self._source) - len(self._source.lstrip())}"

    def _written(self, tree: ast.expr) -> str:
        return ast.get_source_segment(self._text, tree) or ""

    def _wrong(self, tree: ast.expr, message: str) -> ExpressionError:
        line = self._text.split("\n")[tree.lineno - 1]
        offset = len(line.encode()[: tree.col_offset].decode())
        return ExpressionError(f"{self._column(tree.lineno, offset)}: {message}")

    def _refused(self, tree: ast.expr) -> ExpressionError:
        return self._wrong(tree, f"{self._written(tree)} is not allowed; {ALLOWED}")

    # -- forms ---------------------------------------------------------------------------------

    def _node(self, tree: ast.expr) -> _Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(tree, f"more than {DEEPEST} operations inside each other")
        node = self._form(tree)
        self._depth -= 1
        return node

    def _form(self, tree: ast.expr) -> _Node:
        match tree:
            case ast.Constant():
                return _constant(self._literal(tree))
            case ast.Name(id=name):
                return self._variable(tree, name)
            case ast.Tuple(elts=parts):
                return self._made(tree, do.as_tuple, *map(self._node, parts))
            case ast.List(elts=parts):
                return self._made(tree, do.as_list, *map(self._node, parts))
            case ast.Dict(keys=[]):
                return _constant({})
            case ast.Subscript(value=owner, slice=key):
                return self._item(tree, owner, key)
            case ast.Call():
                return self._call(tree)
            case ast.BoolOp(op=ast.And(), values=parts):
                return self._made(tree, do.conjunction, *map(self._node, parts))
            case ast.BoolOp(op=ast.Or(), values=parts):
                return self._made(tree, do.disjunction, *map(self._node, parts))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return self._made(tree, do.negation, self._node(part))
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return self._made(tree, do.negative, self._node(part))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
                make = do.arithmetic(_ARITHMETIC[type(sign)])
                return self._made(tree, make, self._node(left), self._node(right))
            case ast.Compare():
                return self._comparison(tree)
        raise self._refused(tree)

    def _made(self, tree: ast.expr, make: Callable[..., Run], *parts: _Node) -> _Node:
        """Return the operation on *parts*, computed at once where no variable is in them."""
        run = make(*(part.run for part in parts))
        needs = Needs.NOTHING
        for part in parts:
            needs |= part.needs
        if needs:
            return _Node(run, needs)
        try:
            return _constant(run(self.nothing))
        except EvaluationError as error:
            raise self._wrong(tree, str(error)) from None

    def _literal(self, tree: ast.Constant) -> object:
        value = tree.value
        if value is None or isinstance(value, bool | str):
            return value
        if not isinstance(value, int | float):
            raise self._refused(tree)
        try:
            # A float has lost digits that its text has.
            return money.amount(value if isinstance(value, int) else self._written(tree))
        except money.NotAnAmount as error:
            raise self._wrong(tree, str(error)) from None

    def _variable(self, tree: ast.expr, name: str) -> _Node:
        if name == "skip_datapoint_expression":
            return _constant(self._source)
        if name not in _VARIABLES:
            known = ", ".join((*_VARIABLES, "skip_datapoint_expression"))
            raise self._wrong(tree, f"unknown variable {name}; there are {known}")
        return _VARIABLES[name]

    def _comparison(self, tree: ast.Compare) -> _Node:
        places = [tree.left, *tree.comparators]
        for sign, place in zip(tree.ops, tree.comparators, strict=True):
            if isinstance(sign, ast.Is | ast.IsNot) and not _is_single(place):
                raise self._wrong(place, "'is' goes with None, True or False; use ==")
        make = do.comparison([_COMPARISONS[type(sign)] for sign in tree.ops])
        return self._made(tree, make, *map(self._node, places))

    def _call(self, tree: ast.Call) -> _Node:
        parts = tree.args
        match tree.func:
            case _ if tree.keywords:
                raise self._refused(tree)
            case ast.Name(id=name):
                if name not in do.FUNCTIONS:
                    known = ", ".join(do.FUNCTIONS)
                    raise self._wrong(tree, f"unknown function {name}; there are {known}")
                self._count(tree, name, 1, 1)
                make = do.applied(name, do.FUNCTIONS[name])
                return self._made(tree, make, *map(self._node, parts))
            case ast.Attribute(value=owner, attr="get"):
                self._count(tree, "get", 1, 2)
                return self._item(tree, owner, parts[0], *(parts[1:] or [_NONE]))
            case ast.Attribute(value=owner, attr=name) if name in do.METHODS:
                method, least, most = do.METHODS[name]
                self._count(tree, name, least, most)
                make = do.applied(name, method)
                return self._made(tree, make, *map(self._node, [owner, *parts]))
        raise self._refused(tree)

    def _count(self, tree: ast.Call, name: str, least: int, most: int) -> None:
        if not least <= len(tree.args) <= most:
            wanted = f"{least}" if least == most else f"{least} or {most}"
            raise self._wrong(tree, f"{name} takes {wanted} arguments, not {len(tree.args)}")

    # -- reading the point ---------------------------------------------------------------------

    def _item(self, tree: ast.expr, owner: ast.expr, key: ast.expr, *default: ast.expr) -> _Node:
        """Return what ``owner[key]`` is, or ``owner.get(key, default)``.

        What is named by texts alone is read from the point without making its dictionary form.
        """
        name = key.value if isinstance(key, ast.Constant) else None
        place = self._place(owner)
        if isinstance(name, str) and place:
            self._node(owner)  # every part of it has to be allowed, its default too
            others = [self._node(part) for part in default]
            return self._named(tree, place, name, *others)
        parts = [self._node(part) for part in (owner, key, *default)]
        return self._made(tree, do.got if default else do.item, *parts)

    def _place(self, tree: ast.expr) -> str | None:
        """Return ``datapoint``, or the section of it, that an expression is; ``None``: neither."""
        match tree:
            case ast.Name(id="datapoint"):
                return "datapoint"
            case ast.Subscript(value=ast.Name(id="datapoint"), slice=ast.Constant(value=name)):
                pass
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="datapoint"), attr="get"),
                args=[ast.Constant(value=name)] | [ast.Constant(value=name), _],
                keywords=[],
            ):
                pass
            case _:
                return None
        return name if name in (*_ATTRIBUTES, "vol", "rating") else None

    def _named(self, tree: ast.expr, place: str, name: str, *default: _Node) -> _Node:
        """Return the reader of one key of the point or of one of its sections."""
        others = [node.run for node in default]
        needs = Needs.SERIES
        for node in default:
            needs |= node.needs
        if place in _ATTRIBUTES:
            return _Node(do.attribute(place, name, *others), needs)
        if name not in _SECTIONS[place]:
            shown = "datapoint" if place == "datapoint" else f'datapoint["{place}"]'
            known = ", ".join(_SECTIONS[place])
            raise self._wrong(tree, f"{shown} has no {name!r}; there are {known}")
        if name == "description":
            return _Node(do.description(*others), needs)
        return _SECTIONS[place][name]


def _is_single(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and (tree.value is None or isinstance(tree.value, bool))
