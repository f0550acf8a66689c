# SPDX-License-Identifier: Apache-2.0
"""``/v1/collector``: which collector a service comes from, and which collectors may be asked."""

from collections.abc import Sequence

from wsme.types import wsattr

from cloudkitty.api.context import ApiContext
from cloudkitty.db.collectors import CollectorMapping, CollectorState, CollectorStore
from cloudkitty.rest import errors, types
from cloudkitty.rest.controller import Controller, expose
from cloudkitty.rest.request import Request

Name = types.TextType(1, 255)

MANAGE = "collector:manage_mapping"


class Mapping(types.Form):
    """Which collector a service comes from."""

    service = Name
    collector = Name


class Mappings(types.Form):
    mappings = [Mapping]


class State(types.Form):
    """Whether a collector is enabled."""

    name = Name
    enabled = wsattr(types.Flag, mandatory=True)


class CollectorController(Controller):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        store = CollectorStore(context.database)
        states = StatesController(context, store)
        self.children = {"mappings": MappingsController(context, store), "states": states}
        self.members = {"states": states}

    @expose(None, status=204)
    def get_all(self, request: Request) -> None:
        """There has never been anything here."""


class MappingsController(Controller):
    def __init__(self, context: ApiContext, store: CollectorStore) -> None:
        super().__init__(context)
        self._store = store

    @expose(Mappings, Name, rule="collector:list_mappings")
    def get_all(
        self, request: Request, collector: str | None = None
    ) -> dict[str, Sequence[CollectorMapping]]:
        """List which collector services come from."""
        return {"mappings": self._store.mappings(collector)}

    @expose(Mapping, Name, path=1, rule="collector:get_mapping")
    def get_one(self, request: Request, service: str) -> CollectorMapping:
        """Show which collector a service comes from."""
        mapping = self._store.mapping(service)
        if mapping is None:
            raise errors.CollectorMappingNotFound(service=service)
        return mapping

    @expose(Mapping, Name, Name, path=2, rule=MANAGE)
    def post(self, request: Request, collector: str, service: str) -> CollectorMapping:
        """Note that a service comes from a collector, whatever was noted before."""
        return self._store.map(service, collector)

    @expose(None, Name, path=1, status=204, rule=MANAGE)
    def delete(self, request: Request, service: str) -> None:
        """Forget which collector a service comes from."""
        if not self._store.unmap(service):
            raise errors.CollectorMappingNotFound(service=service)


class StatesController(Controller):
    context: ApiContext

    def __init__(self, context: ApiContext, store: CollectorStore) -> None:
        super().__init__(context)
        self._store = store

    @expose(State, Name, path=1, rule="collector:get_state")
    def get_one(self, request: Request, name: str) -> CollectorState:
        """Show whether a collector is noted as enabled, or in use without a note."""
        return self._store.state(name, in_use=self._is_in_use(name))

    def _is_in_use(self, name: str) -> bool:
        """Return whether usage is collected from it: it is configured, or a service that is
        collected is mapped to it."""
        metrics = self.context.metrics
        if name in metrics.collectors:
            return True
        mapped = self._store.mappings(name)
        return any(metrics.service(service) is not None for service, _collector in mapped)

    get_all = get_one

    @expose(State, Name, body=State, path=1, rule="collector:update_state")
    def put(
        self, request: Request, name: str | None = None, state_data: State | None = None
    ) -> CollectorState:
        """Note whether a collector is enabled."""
        assert state_data is not None
        wanted = name or state_data.name
        if not wanted:
            raise errors.MissingArgument(name="name")
        return self._store.set_state(wanted, state_data.enabled)
