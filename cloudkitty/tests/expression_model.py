# SPDX-License-Identifier: Apache-2.0
"""What skip expressions are held against: Python itself, with decimals for numbers."""

import ast
import decimal
from decimal import Decimal
from typing import Any

from cloudkitty import money
from cloudkitty.operations import View


class _Decimals(ast.NodeTransformer):
    """Makes every number of an expression the decimal that is written there."""

    def __init__(self, source: str) -> None:
        self._source = source

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return node
        written = ast.get_source_segment(self._source, node)
        value = written if isinstance(node.value, float) else str(node.value)
        return ast.Call(ast.Name("Decimal", ast.Load()), [ast.Constant(value)], [])

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Leave the numbers that are indices."""
        node.value = self.visit(node.value)
        return node


def python(source: str, view: View) -> bool:
    """Return what Python makes of an expression that is right."""
    source = source.strip()
    tree = _Decimals(source).visit(ast.parse(source, mode="eval"))
    names: dict[str, Any] = {
        "datapoint": view.form(),
        "usage_data_metric_name": view.series.metric,
        "skip_datapoint_expression": source,
        "filtered_datapoints": view.filtered,
        "excluded_datapoints": view.excluded,
        "len": lambda value: Decimal(len(value)),
        "int": lambda value: Decimal(int(value)),
        "float": Decimal,
        "Decimal": Decimal,
        "str": str,
    }
    code = compile(ast.fix_missing_locations(tree), "<expression>", "eval")
    with decimal.localcontext(money.RATING):
        return bool(eval(code, {"__builtins__": {}}, names))
