# SPDX-License-Identifier: Apache-2.0
"""Reads YAML the way a price list is read: numbers keep the value that is written.

Invariants: a number with a point is a ``Decimal`` made from its text; a whole number is decimal
(``010`` is no eight, ``1:30`` no ninety: both stay text, as does a date); a key given twice is a
mistake; every mistake names its line.
"""

import decimal
import json
from collections.abc import Hashable
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_MERGE = "tag:yaml.org,2002:merge"


class YamlError(ValueError):
    """The text is not YAML; the message names the line."""


class Document(NamedTuple):
    """The data of a text, and a line for every key that is given twice."""

    data: object
    problems: list[str]


class _Loader(yaml.SafeLoader):
    """The safe loader, exact about numbers and strict about keys."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.problems: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        return super().construct_mapping(node, deep)

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[object, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in lines:
                self.problems.append(
                    f"line {line}: {key!s} is given twice, first on line {lines[key]}"
                )
            lines.setdefault(key, line)

    def construct_whole(self, node: yaml.ScalarNode) -> object:
        written = str(self.construct_scalar(node))
        try:
            whole = int(written)
        except ValueError:
            return written
        has_leading_zero = len(written.lstrip("+-")) > 1 and written.lstrip("+-")[0] == "0"
        return written if has_leading_zero else whole

    def construct_number(self, node: yaml.ScalarNode) -> object:
        written = self.construct_scalar(node)
        try:
            return Decimal(written)
        except decimal.InvalidOperation:
            return written


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)


def parse(text: str) -> Document:
    """Read one YAML document.

    :raises YamlError: with the line of the mistake.
    """
    loader = _Loader(text)
    try:
        return Document(loader.get_single_data(), loader.problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"{place}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise YamlError(str(error)) from error
    finally:
        loader.dispose()


def jsonable(data: object) -> Any:
    """Return *data* as JSON has it: keys are texts, numbers with a point are JSON numbers."""
    if isinstance(data, dict):
        return {str(key): jsonable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [jsonable(value) for value in data]
    if isinstance(data, Decimal):
        return json.loads(str(data)) if data.is_finite() else str(data)
    if data is None or isinstance(data, str | int):
        return data
    return str(data)
