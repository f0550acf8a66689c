# SPDX-License-Identifier: Apache-2.0
"""Where an InfluxDB is, what it is asked, and what its rows say."""

from decimal import Decimal

import pytest

from cloudkitty.importer.influxdb import place, statements
from cloudkitty.importer.influxdb.layout import Layout
from cloudkitty.importer.source import SourceError
from cloudkitty.importer.usage import Described


@pytest.mark.parametrize(
    "url",
    [
        "influxdb://u:p@localhost/old",
        "influxdb://127.0.0.1:8086/old?retention_policy=autogen",
        "influxdb://other:p%40ss@localhost:8086/old?use_ssl=true&insecure=true",
    ],
)
def test_one_place_has_one_name(url: str) -> None:
    assert place.parse(url).name == "influxdb://127.0.0.1:8086/old?retention_policy=autogen"


def test_a_place_with_everything(tmp_path) -> None:
    secret = tmp_path / "password"
    secret.write_text("from-a-file\n")
    found = place.parse(
        f"influxdb://me@db.example.org:1234/a%20b?retention_policy=year&use_ssl=yes"
        f"&cafile=/ca.pem&password_file={secret}"
    )
    assert found == place.Place(
        "https://db.example.org:1234", "a b", "year", "me", "from-a-file", "/ca.pem"
    )
    assert "from-a-file" not in repr(found)


def test_a_certificate_is_checked_unless_told_otherwise() -> None:
    assert place.parse("influxdb://h/d?use_ssl=1").verify is True
    assert place.parse("influxdb://h/d?use_ssl=1&insecure=1").verify is False


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("influxdb://host", "write it like"),
        ("influxdb:///old", "write it like"),
        ("influxdb://host:x/old", "Port could not be cast"),
        ("influxdb://host/old?ssl=true", "ssl: no such option; there are: retention_policy"),
        ("influxdb://host/old?use_ssl=maybe", "'maybe' is neither true nor false"),
        ("influxdb://host/old?password_file=/nowhere/at-all", "password_file: .*No such file"),
    ],
)
def test_what_is_no_place(url: str, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        place.parse(url)


def test_names_and_texts_cannot_leave_their_quotes() -> None:
    assert statements.name('a"b\\c') == '"a\\"b\\\\c"'
    assert statements.literal("it's \\ 'so'") == "'it\\'s \\\\ \\'so\\''"
    assert statements.select(["a"], 'r"p', "x", "y", groupby="t") == (
        'SELECT a FROM "r\\"p"."dataframes" WHERE x AND y GROUP BY "t"'
    )


def described(**values: object) -> Described:
    """What a row with these columns says; ``t_...`` are tags and the others fields."""
    layout = Layout(
        ["type", "id", "project_id", "year"],
        {"qty": ["float"], "unit": ["string"], "id": ["string"], "size": ["float", "string"]},
    )
    names = ("type", "unit", "description", "groupby", "metadata")
    names += ("t_id", "t_project_id", "t_year", "id", "size", "size_text")
    return layout.described([values.get(name) for name in names])


def test_columns_are_named_by_kind_and_type() -> None:
    layout = Layout(["type", "id"], {"qty": ["float"], "size": ["float", "string"], "id": ["x"]})
    assert layout.columns[:4] == [
        '"qty"::field',
        '"price"::field',
        '"__ck_collect_period"::field',
        '"type"::tag',
    ]
    assert layout.columns[8:] == ['"id"::tag', '"size"::float', '"size"::string', '"id"::field']


def test_attributes_are_where_the_point_says() -> None:
    found = described(
        type="instance",
        unit="GiB",
        description="what it is",
        groupby="id|project_id|empty|type",
        metadata="id|size|none|unit",
        t_id="tag",
        t_project_id="alpha",
        id="field",
        size_text="large",
    )
    assert found == Described(
        "instance",
        "GiB",
        {"id": "tag", "project_id": "alpha", "empty": ""},
        {"id": "field", "size": "large", "none": None, "unit": "GiB"},
        "what it is",
    )


def test_what_a_point_does_not_list_is_kept() -> None:
    found = described(type="instance", t_id="tag", t_year="2026", size=Decimal("2.5"))
    assert found == Described("instance", "", {"id": "tag", "year": "2026"}, {"size": 2.5})
