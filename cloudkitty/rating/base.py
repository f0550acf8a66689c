# SPDX-License-Identifier: Apache-2.0
"""What a rating module is: it reads its tables into a rule book, and a rule book compiles the
immutable rule set of one scope at one instant; a rule set sets prices in a frame."""

import abc
import datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Protocol

from oslo_config import cfg

from cloudkitty.dataframe import DataFrame, Series
from cloudkitty.db.engine import Database


class RatingError(Exception):
    """A frame could not be rated; the message names the rule, script or module.

    The period stays open and is tried again. ``module`` is the module that is to blame, which the
    pipeline notes.
    """

    module: str | None = None


class RuleSet(Protocol):
    """What a module has compiled for one scope at one instant. Immutable but for its caches.

    A rule set may say ``steady = True``: that it makes of equal content equal prices, whatever
    the period. What is not said to be steady is asked for each period.
    """

    def rate(self, frame: DataFrame) -> DataFrame:
        """Return *frame* with prices; the given frame may be changed in place.

        :raises RatingError: the frame cannot be rated.
        """
        ...


class Matching(Protocol):
    """A rule set that can say which points its rules are about."""

    def matches(self, series: Series, qty: Decimal) -> bool:
        """Return whether a rule acts on a point of this series and quantity, whatever it makes
        of the price: a rule that costs 0 acts, too."""
        ...


class Compiled(NamedTuple):
    """A rule set, and the first instant at which it may no longer be the right one (``None``:
    it stays right until the module's revision moves)."""

    rules: RuleSet
    valid_until: datetime.datetime | None


class RuleBook(Protocol):
    """All rules of a module as they stood at one revision, for every scope and instant."""

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        """Return the rule set in force for *scope_id* (``None``: only rules for everybody)
        at *at*. Scopes with equal rules should get the same rule set object."""
        ...


class Target(NamedTuple):
    """A metric that a module has rules for or, with ``field``, an attribute of it.

    ``rules`` are those that are in force or will be, ``pricing`` those of them that are in force
    and make a price without the help of others.
    """

    metric: str
    field: str | None = None
    rules: int = 0
    pricing: int = 0


class Coverage(NamedTuple):
    """What a module's rules are about; ``general`` counts rules that may price any metric."""

    targets: tuple[Target, ...] = ()
    general: int = 0

    @property
    def rules(self) -> int:
        return self.general + sum(target.rules for target in self.targets)


class RatingModule(abc.ABC):
    """Base of all rating modules; entry points live in ``cloudkitty.rating.processors``."""

    module_name: ClassVar[str]
    description: ClassVar[str]
    hot_config: ClassVar[bool] = False
    always_enabled: ClassVar[bool] = False
    has_schema: ClassVar[bool] = False
    """Whether the module keeps tables of its own in the database."""
    concurrent: ClassVar[bool] = False
    """Whether its rule sets may rate in several threads at the same time."""

    tells_matches: ClassVar[bool] = False
    """Whether its rule sets are ``Matching``. Of a module whose rule sets are not, nobody knows
    that it has priced a point unless its price is not 0."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        self.conf = conf
        self.database = database

    @abc.abstractmethod
    def load(self) -> RuleBook:
        """Read every rule, in a fixed number of queries.

        :raises RatingError: the rules cannot be read.
        """

    def coverage(self, at: datetime.datetime) -> Coverage | None:
        """Return what the rules are about that are in force at *at* or later, for whoever looks
        after the prices; ``None``: that cannot be said.

        :raises RatingError: the rules cannot be read.
        """
        return None

    def config_controller(self, context: Any) -> Any | None:
        """Return the module's own controller, to be mounted under
        ``/v1/rating/module_config/<module_name>``, or ``None``: nothing can be configured.

        *context* is what the API hands to every controller (``cloudkitty.rest``).
        """
        return None
