# SPDX-License-Identifier: Apache-2.0
"""``/v1/rating/module_config/pyscripts``: scripts.

Invariants: a change is made by the store as a whole or refused; a PUT answers with the script and
its URL, and may be repeated. Who may come here is decided where this is mounted.
"""

import dataclasses
import datetime
from collections.abc import Sequence

from wsme.types import Unset

from cloudkitty.rating.dated import DatedFilter
from cloudkitty.rating.pyscripts.records import NewScript, ScriptRecord
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.pyscripts.types import Script, Scripts, ScriptWithSource
from cloudkitty.rating.types import FILTER
from cloudkitty.rest import errors, objects, types
from cloudkitty.rest.context import Context
from cloudkitty.rest.controller import CREATED, Controller, Handler, Reply, expose
from cloudkitty.rest.request import Request

_SCRIPT = objects.names(NewScript)


class PyscriptsController(Controller):
    """The module's tree."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.children = {"scripts": ScriptsController(context)}

    def handler(self, method: str, path: Sequence[str]) -> Handler:
        # Also for what is not there: a client of the test suites of clouds relies on it.
        raise errors.MethodNotAllowed(method=method, allow="OPTIONS")


class ScriptsController(Controller):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.store = ScriptStore(context.database)

    @expose(Scripts, types.Flag, *FILTER)
    def get_all(
        self,
        request: Request,
        no_data: bool = False,
        deleted: bool = False,
        start: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
        updated_by: str | None = None,
        created_by: str | None = None,
        deleted_by: str | None = None,
        description: str | None = None,
        is_active: bool = False,
    ) -> dict[str, Sequence[object]]:
        """List scripts, without their sources if *no_data*; what is not asked for does not matter.

        *start* asks for scripts that start then or later, *end* for those that end before.
        """
        wanted = DatedFilter(
            deleted=deleted,
            start=start,
            end=end,
            updated_by=updated_by,
            created_by=created_by,
            deleted_by=deleted_by,
            description=description,
            is_active=is_active,
        )
        found = self.store.list(wanted, now=types.now(), data=not no_data)
        return {"scripts": [_without_source(script) for script in found] if no_data else found}

    @expose(Script, types.Text, path=1)
    def get_one(self, request: Request, script_id: str) -> ScriptRecord:
        """Show a script."""
        return self.store.get(script_id)

    @expose(Script, types.Flag, body=ScriptWithSource, status=CREATED)
    def post(
        self, request: Request, force: bool = False, script_data: ScriptWithSource | None = None
    ) -> Reply:
        """Add a script, with its source; *force* allows a start in the past."""
        said = objects.said(script_data, _SCRIPT)
        script = self.store.create(
            NewScript(**said), now=types.now(), user=request.caller.audit_name, force=force
        )
        return Reply.created(script, f"{request.resource_url}/{script.script_id}")

    @expose(Script, types.Text, body=Script, path=1, status=CREATED)
    def put(
        self, request: Request, script_id: str | None = None, script_data: Script | None = None
    ) -> Reply:
        """Change a script: one that has started can only be given an end."""
        name = script_id or getattr(script_data, "script_id", None)
        if not name:
            raise errors.MissingArgument(name="script_id")
        script = self.store.update(
            name,
            objects.sent(script_data, _SCRIPT),
            now=types.now(),
            user=request.caller.audit_name,
        )
        return Reply.created(script, request.object_url(name))

    @expose(None, types.Text, path=1, status=204)
    def delete(self, request: Request, script_id: str) -> None:
        """Delete a script; its name is free again."""
        self.store.delete(script_id, now=types.now(), user=request.caller.audit_name)


def _without_source(script: ScriptRecord) -> dict[str, object]:
    return {**dataclasses.asdict(script), "data": Unset}
