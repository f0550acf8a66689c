# SPDX-License-Identifier: Apache-2.0
"""The tables of prices by example: the API quotes what the page says."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.tests import api

PAGE = pathlib.Path(__file__).parents[3] / "doc" / "source" / "operator" / "price-examples.rst"
HASHMAP = "/v1/rating/module_config/hashmap"

RULE = re.compile(
    r"(?:\[(?P<group>\w+)\] )?"
    r"(?:(?P<field>\w+)=(?P<value>\w+): |(?:(?P<measured>\w+) )?from (?P<level>[\d.]+): )?"
    r"(?P<type>flat|rate) (?P<cost>[\d.]+)"
    r"(?: for (?P<project>\w+))?"
)
USAGE = re.compile(r"(?P<qty>[\d.]+)(?P<attributes>(?: \w+=[\w.]+)*)(?: of (?P<project>\w+))?")


class Case(NamedTuple):
    rules: list[str]
    usage: str
    price: str


def cases() -> Iterator[Case]:
    for row in re.split(r"^   \* - ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        cells = [re.findall(r"``(.*?)``", cell) for cell in row.split("\n     - ")]
        if any(cells):
            rules, [usage], [price] = cells[:3]
            yield Case(rules, usage, price)


CASES = list(cases())


@pytest.fixture
def client(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> api.Client:
    conf.set_override("auth_strategy", "noauth")
    return api.Client.deployed(api.context(conf, sqlite_database, tmp_path))


class PriceList:
    """Enters rules as the page writes them, and what they need."""

    def __init__(self, client: api.Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], str] = {}
        self._service = self._post("services", name="instance")["service_id"]

    def _post(self, noun: str, **body: Any) -> Any:
        answer = self._client("POST", f"{HASHMAP}/{noun}", json=body)
        assert answer.status_int == 201, answer.text
        return answer.json

    def _id(self, noun: str, name: str, **body: str) -> str:
        if (noun, name) not in self._known:
            made = self._post(f"{noun}s", name=name, **body)
            self._known[noun, name] = made[f"{noun}_id"]
        return self._known[noun, name]

    def enter(self, written: str) -> None:
        rule = RULE.fullmatch(written)
        assert rule, f"not a rule: {written}"
        body: dict[str, Any] = {"type": rule["type"], "cost": rule["cost"]}
        field = rule["field"] or rule["measured"]
        if field:
            body["field_id"] = self._id("field", field, service_id=self._service)
        else:
            body["service_id"] = self._service
        if rule["group"]:
            body["group_id"] = self._id("group", rule["group"])
        if rule["project"]:
            body["tenant_id"] = rule["project"]
        if rule["level"]:
            self._post("thresholds", level=rule["level"], **body)
        else:
            self._post("mappings", **({"value": rule["value"]} if field else {}), **body)


def test_the_page_has_cases_of_every_kind() -> None:
    rules = " ".join(rule for case in CASES for rule in case.rules)
    assert len(CASES) > 20
    for word in ("[", "=", "from", "for", "flat", "rate"):
        assert word in rules


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{'; '.join(case.rules)} | {case.usage}")
def test_the_quote_is_the_price_on_the_page(case: Case, client: api.Client) -> None:
    client("PUT", "/v1/rating/modules/hashmap", json={"module_id": "hashmap", "enabled": True})
    prices = PriceList(client)
    for rule in case.rules:
        prices.enter(rule)
    usage = USAGE.fullmatch(case.usage)
    assert usage, f"not usage: {case.usage}"
    desc = dict(pair.split("=") for pair in usage["attributes"].split())
    resource = {"service": "instance", "volume": usage["qty"], "desc": desc}
    answer = client(
        "POST",
        "/v1/rating/quote",
        json={"resources": [resource]},
        X_Project_Id=usage["project"] or "somebody",
    )
    assert answer.json == case.price
