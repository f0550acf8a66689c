# SPDX-License-Identifier: Apache-2.0
"""InfluxQL over the measurement that an existing service keeps its points in. Pure.

Layout: tags are all groupby attributes and ``type``, the metric; fields are all metadata attributes
and those in ``OWN``; the time of a point is the start of its period.
"""

from collections.abc import Iterable, Mapping, Sequence

MEASUREMENT = "dataframes"

TYPE = "type"
QTY = "qty"
PRICE = "price"
UNIT = "unit"
DESCRIPTION = "description"
GROUPBY = "groupby"
METADATA = "metadata"
"""``GROUPBY`` and ``METADATA`` name the attributes of a point, joined with ``BAR``."""
PERIOD = "__ck_collect_period"

OWN = (QTY, PRICE, UNIT, DESCRIPTION, GROUPBY, METADATA, PERIOD)

BAR = "|"


def name(text: str) -> str:
    """Return an identifier ("Influx Query Language specification", "Identifiers")."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Return a string ("Influx Query Language specification", "Strings")."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def tag(text: str) -> str:
    return f"{name(text)}::tag"


def fields(types: Mapping[str, Sequence[str]], text: str) -> list[str]:
    """Return the columns of a field: a point has one of the types that the field has had."""
    known = types.get(text, ())
    if len(known) < 2:
        return [f"{name(text)}::field"]
    return [f"{name(text)}::{kind}" for kind in known]


def select(
    columns: Iterable[str], retention_policy: str, *conditions: str, groupby: str = ""
) -> str:
    """Return a statement over all points that fulfil the conditions, in the order of time."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    groups = f" GROUP BY {name(groupby)}" if groupby else ""
    return f"SELECT {', '.join(columns)} FROM {source(retention_policy)}{where}{groups}"


def source(retention_policy: str) -> str:
    return f"{name(retention_policy)}.{name(MEASUREMENT)}"


def since(instant: int) -> str:
    return f"time >= {instant}s"


def before(instant: int) -> str:
    return f"time < {instant}s"


def newer(days: int) -> str:
    return f"time >= now() - {days}d"


def tag_values(retention_policy: str, key: str) -> str:
    """Return the statement that lists the values of a tag."""
    return f"SHOW TAG VALUES FROM {source(retention_policy)} WITH KEY = {name(key)}"
