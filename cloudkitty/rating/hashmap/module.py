# SPDX-License-Identifier: Apache-2.0
"""The rating module ``hashmap``: prices by metric, and by value of an attribute."""

import datetime
import importlib
from typing import Any

from oslo_log import log

from cloudkitty.db.engine import DatabaseErrors
from cloudkitty.rating.base import Compiled, Coverage, RatingError, RatingModule, RuleBook
from cloudkitty.rating.hashmap.book import Book
from cloudkitty.rating.hashmap.store import MODULE, HashmapStore

LOG = log.getLogger(__name__)


class _Rules:
    """Hashmap's book, as the pipeline asks for it."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        rules, valid_until = self._book.rules(scope_id, at)
        return Compiled(rules, valid_until)


def _warn_of_skipped(service: str, field: str) -> None:
    LOG.warning(
        "hashmap: field %s of service %s has thresholds, and its value is not always a number; "
        "where it is not they do not act",
        field,
        service,
    )


class Hashmap(RatingModule):
    """Adds to the price what mappings and thresholds make of a point."""

    module_name = MODULE
    description = "HashMap rating module."
    hot_config = True
    has_schema = True
    tells_matches = True

    def load(self) -> RuleBook:
        try:
            store = HashmapStore(self.database)
            return _Rules(store.load_rules(_warn_of_skipped, self.conf.orchestrator.cached_series))
        except DatabaseErrors as error:
            raise RatingError(f"hashmap: the rules cannot be read: {error}") from error

    def coverage(self, at: datetime.datetime) -> Coverage:
        try:
            return HashmapStore(self.database).coverage(at)
        except DatabaseErrors as error:
            raise RatingError(f"hashmap: the rules cannot be read: {error}") from error

    def config_controller(self, context: Any) -> Any | None:
        # Late, so that the processor needs no web framework.
        controllers = importlib.import_module("cloudkitty.rating.hashmap.controllers")
        return controllers.HashmapController(context)
