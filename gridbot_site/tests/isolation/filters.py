"""Every line that keeps tenants apart, and what it would be without: mutants, and their killers."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gridbot_site

ROOT = Path(gridbot_site.__file__).parent.parent
APPS = ("accounts", "strategies", "marketdata", "gridbot_site")
DOORS = {"for_user", "for_account", "own_rows", "is_own", "get_queryset", "get_field_queryset"}
CALLED = {"for_user", "for_account", "own_rows"}
OWNERS = ("user", "account__user", "device__user", "additional_data__owner", "user__username__in")
DOORS_ASKED, COMMANDS_ASKED = "doors", "commands"


class Filter(NamedTuple):
    """A function, the words in it that tell tenants apart, what is there without, and who asks."""

    where: str
    words: str
    without: str
    asked: str


_TENANCY, _PAGES = "accounts.tenancy:", "accounts.tenant_admin:"
FILTERS = (
    Filter(f"{_TENANCY}TenantQuerySet.for_user", "filter(user=user)", "all()", DOORS_ASKED),
    Filter(
        f"{_TENANCY}TenantQuerySet.for_account", "filter(account=account)", "all()", DOORS_ASKED
    ),
    Filter(f"{_TENANCY}AccountQuerySet.for_account", "filter(pk=account.pk)", "all()", DOORS_ASKED),
    Filter(f"{_PAGES}SuperusersOnly.get_queryset", "rows.none()", "rows", "accounts.user:history"),
    Filter(
        f"{_PAGES}SuperusersOnly.has_module_permission",
        *("bool(request.user.is_superuser)", "True", DOORS_ASKED),
    ),
    Filter(
        f"{_PAGES}TenantAdmin.get_queryset",
        *("self.own_rows(rows, user)", "rows", "marketdata.order:export"),
    ),
    Filter(
        f"{_PAGES}TenantAdmin.own_rows",
        *("rows.for_user(user)", "rows", "marketdata.order:export"),
    ),
    Filter(f"{_PAGES}TenantAdmin.is_own", "bool(owner == request.user)", "True", DOORS_ASKED),
    Filter(
        f"{_PAGES}TenantAdmin.lookup_allowed",
        *("lookup in {", "lookup or lookup in {", "auditlog.logentry:changelist"),
    ),
    Filter(
        f"{_PAGES}TenantAdmin.get_field_queryset",
        *("rows.filter(pk=user.pk)", "rows", "accounts.bybitaccount:add"),
    ),
    Filter(
        f"{_PAGES}TenantAdmin.get_field_queryset",
        *("rows.for_user(user) if", "rows if", "strategies.strategy:add"),
    ),
    Filter(
        f"{_PAGES}AccountFilter.lookups",
        *("for_user(user)", "unscoped()", "strategies.gridstate:changelist"),
    ),
    Filter(
        "accounts.related:_table",
        *("page.get_queryset(request)", "model._default_manager", "strategies.run:change"),
    ),
    Filter(
        "marketdata.admin.coverage:SpanAdmin.own_rows",
        "rows.filter(models.Q(account=None) | models.Q(account__user=user))",
        *("rows", "marketdata.capturegap:export"),
    ),
    Filter(
        "marketdata.admin.coverage:SpanAdmin.is_own",
        *("super().is_own(request, row)", "True", DOORS_ASKED),
    ),
    Filter(
        "marketdata.admin.coverage:QuarantinedMessageAdmin.own_rows",
        *("rows.filter(account__user=user)", "rows", "marketdata.quarantinedmessage:export"),
    ),
    Filter(
        "marketdata.admin.facts:FactAdmin.export_view",
        *("self.get_changelist_instance(request).queryset", "self.model.objects.all()"),
        asked="marketdata.order:export",
    ),
    Filter(
        "strategies.admin.pages:market_of",
        *("for_account(account)", "all()", "strategies.strategy:change"),
    ),
    Filter(
        "strategies.admin.runs:RunAdmin.pictures_view",
        *("self.get_queryset(request)", "Run.objects.unscoped()", "strategies.run:pictures"),
    ),
    Filter(
        "gridbot_site.dashboard.doors:seen",
        *("page.get_queryset(request)", "model._default_manager.all()", "admin:dashboard_live"),
    ),
    Filter(
        "gridbot_site.dashboard.account_page:context",
        *("seen(request, BybitAccount)", "BybitAccount.objects.unscoped()"),
        asked="accounts.bybitaccount:dashboard",
    ),
    Filter(
        "gridbot_site.admin:AuditLogAdmin.own_rows",
        "rows.filter(additional_data__owner=str(user.pk))",
        *("rows", "auditlog.logentry:history"),
    ),
    Filter(
        "gridbot_site.admin:AuditLogAdmin.is_own",
        '(row.additional_data or {}).get("owner") == str(request.user.pk)',
        *("True", DOORS_ASKED),
    ),
    Filter(
        "gridbot_site.second_factor:overview",
        *("user=user, confirmed=True", "confirmed=True", "admin:second_factor"),
    ),
    Filter(
        "gridbot_site.second_factor_forms:RemoveForm.__init__",
        *("user=request.user, confirmed=True", "confirmed=True", "admin:second_factor_remove"),
    ),
    Filter(
        "marketdata.management.arguments:accounts_in_scope",
        *("filter(user__username__in=users)", "all()", COMMANDS_ASKED),
    ),
)
# Functions that look like a filter, and are none.
NO_FILTERS = {
    "accounts.models:BybitAccount.save": "asks whether the user of a stored row would change",
    "gridbot_site.second_factor:add": "asks whether there are recovery codes, and shows none",
    "gridbot_site.second_factor:new_recovery_codes": "deletes; test_second_factor asks whose",
    "gridbot_site.second_factor_forms:CodeForm.__init__": "which of one's own choices comes first",
    "marketdata.admin.facts:Public.is_own": "everybody's rows",
    "marketdata.admin.facts:Public.own_rows": "everybody's rows",
    "marketdata.demo.database:_make_tenant": "in a database of its own",
    "marketdata.doctor.exchange:_private": "of an account in use: the whole installation is asked",
    "marketdata.key_check:_check": "of an account that the command was given",
    "marketdata.key_check:_write_down": "of an account that the command was given",
    "strategies.grid_store:GridStateStore._states": "of the strategy that it was made for",
    "strategies.grid_store:GridStateStore.save": "of the strategy that it was made for",
}


def looks_like_filters() -> set[str]:
    """Every function of the project that is called like a door, or goes through one."""
    found = set()
    for app in APPS:
        for file in sorted((ROOT / app).rglob("*.py")):
            if not {"tests", "migrations"} & set(file.parts):
                module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
                found |= {f"{module}:{name}" for name in _in(ast.parse(file.read_text()))}
    return found


def _in(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _in(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (
            node.name in DOORS or any(map(_goes_through, ast.walk(node)))
        ):
            yield prefix + node.name


def _goes_through(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    is_filter = node.func.attr in ("filter", "get", "exclude", "Q")
    named = {keyword.arg for keyword in node.keywords}
    return node.func.attr in CALLED or (is_filter and not named.isdisjoint(OWNERS))


@contextmanager
def mutated(each: Filter) -> Iterator[None]:
    """The project without a filter."""
    module, _, name = each.where.partition(":")
    owner: Any = importlib.import_module(module)
    space = vars(owner)
    *classes, last = name.split(".")
    for inner in classes:
        owner = getattr(owner, inner)
    function = inspect.unwrap(vars(owner)[last])
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") :]
    if each.words not in source:
        raise AssertionError(f"{each.where} has no {each.words!r}: say what its filter is now.")
    changed = source.replace(each.words, each.without)
    changed = changed.replace("super()", f"super({classes[-1] if classes else ''}, self)")
    made: dict[str, Any] = {}
    exec(compile(f"from __future__ import annotations\n{changed}", each.where, "exec"), space, made)
    before = function.__code__
    if before.co_freevars:  # a method that calls super: its cell is not ours to make
        setattr(owner, last, made[last])
    else:
        function.__code__ = made[last].__code__
    try:
        yield
    finally:
        if before.co_freevars:
            setattr(owner, last, function)
        else:
            function.__code__ = before
