"""Take the pictures of the admin: `python -m docs.make_screenshots` writes docs/pictures/*.png.

It makes up a tenant in a database of its own, serves the site on 127.0.0.1 and photographs it with
chromium through playwright. `--dark` takes the dark theme; names of pages take only these.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from gridbot_site.live_server import CHROMIUM_ARGUMENTS, LiveServer, session_cookie

PICTURES = Path(__file__).parent / "pictures"
START = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
SIZE: Any = {"width": 1360, "height": 900}
ORDER = "1f0c7a52-7d64-4c7e-9f0e-7d2f4f1c9b10"


def account_form(page: Any, url: str) -> None:
    """An account with its credential and its strategies."""
    from accounts.models import BybitAccount

    page.goto(f"{url}/admin/accounts/bybitaccount/{BybitAccount.objects.get().pk}/change/")


def strategy_preview(page: Any, url: str) -> None:
    """A configuration, and the grid that it would build, before anything is saved."""
    from accounts.models import BybitAccount

    page.goto(f"{url}/admin/strategies/strategy/add/?account={BybitAccount.objects.get().pk}")
    boxes = {"name": "tight", "symbol": "BTCUSDT", "grid_count": "8", "grid_step": "0.15"}
    for name, value in {**boxes, "amount": "250", "preview_wallet": "2000"}.items():
        page.fill(f"#id_{name}", value)
    page.click("button[name=_preview]")
    page.wait_for_selector(".preview-levels")


def trades_list(page: Any, url: str) -> None:
    """The trades of a symbol and a day."""
    page.goto(f"{url}/admin/marketdata/publictrade/?symbol=BTCUSDT&day={START:%Y-%m-%d}")


def order_page(page: Any, url: str) -> None:
    """A state of an order, with its other states and its executions."""
    from marketdata.models import Order

    order = Order.objects.filter(status="Filled").get()
    page.goto(f"{url}/admin/marketdata/order/{order.pk}/change/")


PAGES: dict[str, Callable[[Any, str], None]] = {
    "account-form": account_form,
    "strategy-preview": strategy_preview,
    "trades-list": trades_list,
    "order-page": order_page,
}


def make_tenant() -> Any:
    """The tenant who looks at the pages, with a little of everything; made-up, no secrets."""
    from accounts.models import User
    from accounts.tests.cast import grant_tenant_permissions
    from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory
    from strategies.tests.factories import RunFactory, StrategyFactory

    user = User.objects.create(username="alice")
    grant_tenant_permissions(user)
    account = BybitAccountFactory.create(user=user, account_name="main")
    ApiCredentialFactory.create(
        account=account, api_key="aB3dE5fG7hJ9", secret=f"made up for the picture, {1:x}a2b"
    )
    strategy = StrategyFactory.create(account=account, name="wide", is_enabled=True)
    run = RunFactory.create(account=account, strategy=strategy, started_at=START)
    _make_facts(account, run)
    return user


def _make_facts(account: Any, run: Any) -> None:
    from marketdata.tests import factories

    factories.InstrumentFactory.create()
    factories.TickerSnapshotFactory.create(exchange_ts=START, last_price=Decimal("61234.5"))
    factories.WalletSnapshotFactory.create(account=account, exchange_ts=START)
    for n in range(260):
        factories.PublicTradeFactory.create(
            symbol=("BTCUSDT", "BTCUSDT", "ETHUSDT")[n % 3],
            exchange_ts=START + timedelta(milliseconds=731 * n),
            side=("Buy", "Sell")[n * n % 7 % 2],
            price=Decimal("61234.5") + Decimal(n * 37 % 101) / 10,
            size=Decimal(n * 53 % 997 + 1) / 1000,
        )
    order = {"account": account, "run": run, "order_id": ORDER, "order_link_id": "wide-long-1"}
    order |= {"side": "Sell", "price": Decimal("61300"), "qty": Decimal("0.02")}
    for n, (status, filled) in enumerate(
        [("New", "0"), ("PartiallyFilled", "0.008"), ("Filled", "0.02")]
    ):
        factories.OrderFactory.create(
            **order,
            status=status,
            cum_exec_qty=Decimal(filled),
            leaves_qty=Decimal("0.02") - Decimal(filled),
            closed_pnl=Decimal("1.0512") if status == "Filled" else None,
            exchange_ts=START + timedelta(seconds=20 * n),
            raw_json={
                "orderId": ORDER,
                "orderStatus": status,
                "side": "Sell",
                "cumExecQty": filled,
            },
        )
    for n, (qty, pnl) in enumerate([("0.008", "0.52"), ("0.007", "0.61"), ("0.005", "-0.02")]):
        factories.PrivateExecutionFactory.create(
            **{name: order[name] for name in ("account", "run", "order_id", "side")},
            exec_price=Decimal("61300"),
            exec_qty=Decimal(qty),
            exec_fee=Decimal(qty) * Decimal("12.26"),
            exec_pnl=Decimal(pnl),
            exchange_ts=START + timedelta(seconds=20 + 10 * n),
        )


def take(names: list[str], *, scheme: Any, folder: Path, suffix: str = "") -> None:
    """Photograph the named pages into `folder`."""
    from playwright.sync_api import sync_playwright

    user = make_tenant()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with LiveServer() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS)
        )
        context = browser.new_context(viewport=SIZE, color_scheme=scheme)
        context.add_cookies([session_cookie(user, server.url)])
        page = context.new_page()
        # What the content security policy refuses, and every other fault, is said here.
        faults: list[str] = []
        page.on("console", lambda said: _note(said, faults))
        page.on("pageerror", lambda error: faults.append(str(error)))
        for name in names:
            PAGES[name](page, server.url)
            page.evaluate("window.scrollTo(0, 0)")
            page.screenshot(path=folder / f"{name}{suffix}.png", full_page=name != "trades-list")
        browser.close()
    if faults:
        raise SystemExit("The browser complained: " + "; ".join(faults))


def _note(said: Any, faults: list[str]) -> None:
    # Every browser asks for an icon, and the site has none.
    if said.type == "error" and not said.location["url"].endswith("/favicon.ico"):
        faults.append(said.text)


def main() -> None:
    """Make a database, take the pictures, leave nothing else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", choices=[*PAGES, []], help="all when none is named")
    parser.add_argument("--dark", action="store_true", help="the dark theme, into NAME-dark.png")
    parser.add_argument("--folder", type=Path, default=PICTURES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridbot-pictures-") as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "gridbot_site.settings_test"
        # playwright runs a loop of its own in this thread; the database is ours alone.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/pictures.sqlite3"
        import django
        from django.conf import settings
        from django.core.management import call_command

        settings.DATABASES["default"]["NAME"] = f"{folder}/pictures.sqlite3"
        django.setup()
        call_command("migrate", verbosity=0)
        scheme, suffix = ("dark", "-dark") if arguments.dark else ("light", "")
        names = arguments.pages or list(PAGES)
        take(names, scheme=scheme, folder=arguments.folder, suffix=suffix)
        sys.stdout.write("".join(f"{arguments.folder / name}{suffix}.png\n" for name in names))


if __name__ == "__main__":
    main()
