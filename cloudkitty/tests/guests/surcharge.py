# SPDX-License-Identifier: Apache-2.0
"""A rating module for the interface of this service: adds a fixed amount to every point, with a
table, a controller and a policy of its own."""

import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
import wsme.types
from oslo_policy import policy
from wsme.types import wsattr

from cloudkitty import money
from cloudkitty.dataframe import DataFrame
from cloudkitty.db.engine import Database
from cloudkitty.rating.base import Compiled, RatingModule, RuleBook
from cloudkitty.rating.state import move_revision
from cloudkitty.rest import types
from cloudkitty.rest.context import Context
from cloudkitty.rest.controller import Controller, expose
from cloudkitty.rest.request import Request

MODULE = "surcharge"
METADATA = sa.MetaData()
amounts = sa.Table("surcharge_amounts", METADATA, sa.Column("amount", sa.String(130)))


def list_rules() -> list[policy.RuleDefault]:
    return [policy.RuleDefault("surcharge:set", "role:surcharger", scope_types=["project"])]


def clashing_rules() -> list[policy.RuleDefault]:
    """Rules with a name that is taken."""
    return [policy.RuleDefault("rating:quote", "role:buyer", scope_types=["project"])]


class Surcharge(RatingModule):
    module_name = MODULE
    description = "Adds a fixed amount."
    hot_config = True

    def load(self) -> RuleBook:
        return Rules(read(self.database))

    def config_controller(self, context: Any) -> Controller:
        return SurchargeController(context)


class Rules:
    """Book and rule set in one: every scope pays the same."""

    def __init__(self, amount: Decimal) -> None:
        self._amount = amount

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        return Compiled(self, valid_until=None)

    def rate(self, frame: DataFrame) -> DataFrame:
        for points in frame.usage.values():
            points.price = [money.RATING.add(price, self._amount) for price in points.price]
        return frame


def read(database: Database) -> Decimal:
    with database.writer() as connection:
        METADATA.create_all(connection)
        return money.amount(connection.scalar(sa.select(amounts.c.amount)) or 0)


class Amount(wsme.types.Base):  # type: ignore[misc]
    amount = wsattr(types.Amount, mandatory=True)


class SurchargeController(Controller):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        read(context.database)

    @expose(Amount)
    def get_all(self, request: Request) -> dict[str, Decimal]:
        return {"amount": read(self.context.database)}

    @expose(None, body=Amount, status=204, rule="surcharge:set")
    def put(self, request: Request, amount_data: Amount) -> None:
        with self.context.database.writer() as connection:
            move_revision(connection, MODULE)
            connection.execute(amounts.delete())
            connection.execute(amounts.insert().values(amount=money.text(amount_data.amount)))
