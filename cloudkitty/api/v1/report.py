# SPDX-License-Identifier: Apache-2.0
"""``/v1/report``: what was spent, in total and by project and metric.

Invariant: who is not an administrator sees one project, the token's; without a project, nothing.
"""

import datetime
from collections.abc import Sequence
from decimal import Decimal

from cloudkitty import money
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v1.window import Window
from cloudkitty.rest import types
from cloudkitty.rest.controller import Controller, expose
from cloudkitty.rest.request import Request
from cloudkitty.storage.base import GROUP_SCOPE, GROUP_TYPE, TotalRow

ALL = "ALL"

_SHOWN = Decimal("0.00001")


class SummaryItem(types.Form):
    """One group of a summary."""

    begin = types.Instant
    end = types.Instant
    tenant_id = types.Text
    res_type = types.Text
    rate = types.Text


class Summary(types.Form):
    summary = [SummaryItem]


def rounded(amount: Decimal) -> str:
    """Return the text of an amount in a summary: at most five decimals and at least one, or 0."""
    text = money.text(money.EXACT.quantize(amount, _SHOWN))
    return text if text == "0" or "." in text else f"{text}.0"


class ReportController(Controller):
    # The summary says the same and more.
    old_names = frozenset({"total"})

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {
            "total": TotalController(context),
            "summary": SummaryController(context),
            "tenants": TenantsController(context),
        }


class _Scoped(Controller):
    """Reports that show the caller's own project unless asked, and allowed, to show others."""

    context: ApiContext

    def _project(self, request: Request, tenant_id: str | None, all_tenants: bool) -> str | None:
        """Return the project to report on, ``None`` for all.

        :raises errors.Forbidden: the caller may not see it.
        """
        policy, caller = self.context.policy, request.caller
        project = None if all_tenants else tenant_id or caller.project_id
        # A rule about the caller's project cannot be met where the target has none.
        policy.authorize(caller, request.rule, **({"project_id": project} if project else {}))
        return project

    def _rows(
        self,
        request: Request,
        window: Window,
        project: str | None,
        service: str | None,
        all_tenants: bool = False,
        groupby: Sequence[str] = (),
    ) -> Sequence[TotalRow]:
        scopes = [project] if project else None
        if scopes is None and not all_tenants and not self.context.policy.is_admin(request.caller):
            scopes = []
        query = window.query(
            self.context.conf.collect.period, scopes, [service] if service else None
        )
        with self.context.telemetry.query("sums"):
            return self.context.storage.total(query, groupby).rows if query else []


class TotalController(_Scoped):
    @expose(
        types.Amount,
        types.Instant,
        types.Instant,
        types.Text,
        types.Text,
        types.Flag,
        asks="report:get_total",
    )
    def get_all(
        self,
        request: Request,
        begin: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
        tenant_id: str | None = None,
        service: str | None = None,
        all_tenants: bool = False,
    ) -> Decimal:
        """Show what was spent."""
        # Clients of 2015 write "no project" as the text None.
        named = None if tenant_id == "None" else tenant_id
        project = self._project(request, named, all_tenants)
        rows = self._rows(request, Window.of(begin, end), project, service, all_tenants)
        return money.total(row.price for row in rows)


class SummaryController(_Scoped):
    @expose(
        Summary,
        types.Instant,
        types.Instant,
        types.Text,
        types.Text,
        types.Text,
        types.Flag,
        asks="report:get_summary",
    )
    def get_all(
        self,
        request: Request,
        begin: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
        tenant_id: str | None = None,
        service: str | None = None,
        groupby: str | None = None,
        all_tenants: bool = False,
    ) -> Summary:
        """Show what was spent, by project and metric as *groupby* names them."""
        project = self._project(request, tenant_id, all_tenants)
        window = Window.of(begin, end)
        words = {"tenant_id": GROUP_SCOPE, "res_type": GROUP_TYPE}
        groups = [name for word, name in words.items() if word in (groupby or "")]
        rows = self._rows(request, window, project, service, all_tenants, groups)
        items = []
        for row in rows:
            values = dict(zip(groups, row.group, strict=True))
            items.append(
                SummaryItem(
                    begin=window.begin,
                    end=window.end,
                    tenant_id=values.get(GROUP_SCOPE, project or ALL),
                    res_type=values.get(GROUP_TYPE, service or ALL),
                    rate=rounded(row.price),
                )
            )
        return Summary(summary=items)


class TenantsController(Controller):
    context: ApiContext

    @expose([types.Text], types.Instant, types.Instant, rule="report:list_tenants")
    def get_all(
        self,
        request: Request,
        begin: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
    ) -> list[str]:
        """List the projects with something rated in the window."""
        query = Window.of(begin, end).query(self.context.conf.collect.period)
        if query is None:
            return []
        with self.context.telemetry.query("scopes"):
            return list(self.context.storage.scopes_with_data(query.begin, query.end))
