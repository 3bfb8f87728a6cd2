"""Photograph the admin for the documents, in a real browser and on a database made for it.

    python -m docs.make_screenshots [NAME ...]

writes docs/pictures/NAME.png for each scene, or for those that are named. It needs playwright
(requirements-dev.txt) and Chromium. A scene is a function that is decorated with `scene`: it is
given a tab of a fresh profile on the running site, makes the rows that it shows, and leaves the
tab on what is to be seen. One that is decorated with `live_scene` makes no rows: it is shown what
four minutes of capture from the sandbox brought, while the exchange is out of reach, and is
photographed a second time in the dark, as NAME-dark.png.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from accounts.models import BybitAccount
    from gridbot_site.tests.browser import Tab
    from strategies.models import Run

PICTURES = Path(__file__).parent / "pictures"
START = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
WIDTH = 1360
ORDER = "1f0c7a52-7d64-4c7e-9f0e-7d2f4f1c9b10"
Scene = Callable[["Tab"], None]
SCENES: dict[str, Scene] = {}
LIVE_SCENES: dict[str, Scene] = {}


def scene(draw: Scene) -> Scene:
    """Take `draw` among the scenes, under its name."""
    SCENES[draw.__name__.replace("_", "-")] = draw
    return draw


def live_scene(draw: Scene) -> Scene:
    """Take `draw` among the scenes of a running capture, under its name."""
    LIVE_SCENES[draw.__name__.replace("_", "-")] = draw
    return draw


@scene
def sign_in(tab: Tab) -> None:
    """The second page of the sign-in: the code."""
    from django.test import override_settings

    from accounts.tests.factories import PASSWORD, UserFactory
    from gridbot_site.second_factor import new_recovery_codes
    from gridbot_site.tests.signing_in import device_of

    olivia = UserFactory.create(username="olivia", is_staff=True, is_superuser=True)
    device_of(olivia)
    new_recovery_codes(olivia)
    with override_settings(GRIDBOT_REQUIRE_OTP=True):
        tab.go("/admin/")
        tab.fill_in(username="olivia", password=PASSWORD)
        tab.submit()
    tab.page.fill("[name=otp_token]", "123 456")


@scene
def account_form(tab: Tab) -> None:
    """An account with its credential and its strategies."""
    account = tenants_account(tab)
    tab.go(f"/admin/accounts/bybitaccount/{account.pk}/change/")
    show_whole(tab)


@scene
def strategy_preview(tab: Tab) -> None:
    """A configuration, and the grid that it would build, before anything is saved."""
    account = tenants_account(tab)
    tab.go(f"/admin/strategies/strategy/add/?account={account.pk}")
    tab.fill_in(name="tight", symbol="BTCUSDT", grid_count="8", grid_step="0.15")
    tab.fill_in(amount="250", preview_wallet="2000")
    tab.page.click("button[name=_preview]")
    tab.page.wait_for_selector(".preview-levels")
    show_whole(tab)


@scene
def trades_list(tab: Tab) -> None:
    """The trades of a symbol and a day."""
    tenants_account(tab)
    tab.page.set_viewport_size({"width": WIDTH, "height": 900})
    tab.go(f"/admin/marketdata/publictrade/?symbol=BTCUSDT&day={START:%Y-%m-%d}")


@scene
def order_page(tab: Tab) -> None:
    """A state of an order, with its other states and its executions."""
    from marketdata.models import Order

    tenants_account(tab)
    tab.go(f"/admin/marketdata/order/{Order.objects.get(status='Filled').pk}/change/")
    show_whole(tab)


@live_scene
def dashboard(tab: Tab) -> None:
    """The first page: what needs a look, the market, and accounts."""
    tab.page.set_viewport_size({"width": WIDTH, "height": 1300})
    tab.go("/admin/?last=5m")


@live_scene
def account_page(tab: Tab) -> None:
    """An account: equity, positions, and its trading over the price."""
    from accounts.models import BybitAccount

    account = BybitAccount.objects.unscoped().order_by("user__username")[0]
    tab.page.set_viewport_size({"width": WIDTH, "height": 1500})
    tab.go(f"/admin/accounts/bybitaccount/{account.pk}/dashboard/?last=5m")
    # Its own page, without the list of all others beside it.
    tab.page.click("#toggle-nav-sidebar")
    tab.page.evaluate("window.scrollTo(0, 0)")


@live_scene
def coverage(tab: Tab) -> None:
    """The strips of the market."""
    tab.page.set_viewport_size({"width": WIDTH, "height": 425})
    tab.go("/admin/?last=5m")
    tab.page.evaluate("document.querySelector('#board-market').scrollIntoView()")


def show_whole(tab: Tab) -> None:
    """Make the tab as high as its page."""
    tab.page.set_viewport_size({"width": WIDTH, "height": 400})
    height = tab.page.evaluate("document.querySelector('#main').scrollHeight")
    tab.page.set_viewport_size({"width": WIDTH, "height": height + 20})
    tab.page.evaluate("window.scrollTo(0, 0)")


def tenants_account(tab: Tab) -> BybitAccount:
    """The account of a tenant who is signed in to `tab`, with a little of everything, made up."""
    from accounts.tests.cast import grant_tenant_permissions
    from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory, UserFactory
    from gridbot_site.live_server import session_cookie
    from strategies.tests.factories import RunFactory, StrategyFactory

    user = UserFactory.create(username="alice")
    grant_tenant_permissions(user)
    account: BybitAccount = BybitAccountFactory.create(user=user, account_name="main")
    ApiCredentialFactory.create(
        account=account, api_key="aB3dE5fG7hJ9", secret=f"made up for the picture, {1:x}a2b"
    )
    strategy = StrategyFactory.create(account=account, name="wide", is_enabled=True)
    _make_facts(account, RunFactory.create(account=account, strategy=strategy, started_at=START))
    tab.page.context.add_cookies([session_cookie(user, tab.base_url)])
    return account


def _make_facts(account: BybitAccount, run: Run) -> None:
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


def main(names: list[str]) -> int:
    """Photograph the scenes; exit code 2 for a name that is none."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gridbot_site.settings_test"
    # playwright has an event loop in this thread, and Django would not touch the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    import django

    django.setup()
    from gridbot_site.tests.browser import missing, open_tab, running_browser

    known = {**SCENES, **LIVE_SCENES}
    if reason := missing() or ", ".join(f"no scene {n}" for n in names if n not in known):
        sys.stderr.write(f"{reason}\n")
        return 2
    chosen = names or list(known)
    with running_browser() as browser:
        for name in (each for each in chosen if each in SCENES):
            with running_site() as url, open_tab(browser, url) as tab:
                SCENES[name](tab)
                photograph(tab, name)
        if live := [each for each in chosen if each in LIVE_SCENES]:
            photograph_capture(browser, live)
    return 0


def photograph_capture(browser: Browser, names: list[str]) -> None:
    """Capture for some minutes, and photograph these scenes in light and dark."""
    from accounts.models import User
    from docs.sandbox_story import lasting_outage
    from gridbot_site.live_server import session_cookie
    from gridbot_site.tests.browser import open_tab

    with running_site() as url, lasting_outage() as operator:
        cookie = session_cookie(User.objects.get(username=operator), url)
        for theme in ("light", "dark"):
            for name in names:
                with open_tab(browser, url) as tab:
                    tab.page.emulate_media(color_scheme=theme)
                    tab.page.context.add_cookies([cookie])
                    LIVE_SCENES[name](tab)
                    photograph(tab, name if theme == "light" else f"{name}-{theme}")


def photograph(tab: Tab, name: str) -> None:
    """Write what the tab shows."""
    tab.page.screenshot(path=PICTURES / f"{name}.png")
    sys.stdout.write(f"docs/pictures/{name}.png\n")


@contextmanager
def running_site() -> Iterator[str]:
    """The site on a free port, on an empty database; its address."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.db import connection
    from django.test.testcases import LiveServerThread

    original = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    server = LiveServerThread("127.0.0.1", StaticFilesHandler)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    try:
        if server.error:
            raise server.error
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.terminate()
        connection.creation.destroy_test_db(original, verbosity=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
