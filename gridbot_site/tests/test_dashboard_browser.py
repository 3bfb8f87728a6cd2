"""The dashboard in a real browser: it keeps itself fresh, and says so when it cannot."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gridbot_site.dashboard.views import REFRESH_MS
from gridbot_site.live_server import session_cookie
from marketdata.coverage.ledger import vouch
from marketdata.models import CaptureGap, CoverageInterval, Stream
from marketdata.tests.factories import CaptureGapFactory, CaptureLeaseFactory

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.django_db(transaction=True)

STRIP = "#board-market .strip"
# Machines that test are busy.
expect.set_options(timeout=15_000)


def covered(start, end):
    vouch(Stream.TRADES, "BTCUSDT", None, start, end, CoverageInterval.Source.LIVE)


@pytest.fixture
def board(tab, olivia):
    """The first page, on which a feed comes in; its timers are the test's."""
    now = timezone.now()
    CaptureLeaseFactory.create(acquired_at=now, expires_at=now + timedelta(hours=1))
    covered(now - timedelta(hours=2), now)
    tab.page.context.add_cookies([session_cookie(olivia, tab.base_url)])
    tab.page.clock.install()
    tab.go("/admin/")
    # Time stands still but where the test lets it run: no question is on its way unasked.
    tab.page.clock.pause_at(timezone.now() + timedelta(seconds=1))
    # A navigation would lose it.
    tab.page.evaluate("window.isTheSamePage = true")
    return tab


def refresh(tab):
    with tab.page.expect_response("**/dashboard/live/**"):
        tab.page.clock.run_for(REFRESH_MS)


def test_a_gap_appears_and_closes_without_a_reload(board):
    page, now = board.page, timezone.now()
    state = page.locator("#board-state")
    expect(state).to_contain_text("All is well")
    expect(page.locator(f"{STRIP} .strip-open")).to_have_count(0)

    gap = CaptureGapFactory.create(started_at=now - timedelta(seconds=90), ended_at=None)
    refresh(board)
    expect(state).to_contain_text("1 gap is not filled yet")
    expect(page.locator(f"{STRIP} .strip-open")).to_have_count(1)
    expect(page.locator("#board-market .feed-trouble")).to_contain_text("open gap since")

    CaptureGap.objects.filter(pk=gap.pk).update(state="filled", ended_at=timezone.now())
    covered(now - timedelta(hours=1), timezone.now())
    refresh(board)
    expect(state).to_contain_text("All is well")
    expect(page.locator(f"{STRIP} .strip-open")).to_have_count(0)
    expect(page.locator("#board-gaps td.gap-filled")).to_have_count(1)
    assert page.evaluate("window.isTheSamePage")
    assert board.complaints == []


def test_focus_and_scroll_outlive_a_refresh(board):
    page = board.page
    page.set_viewport_size({"width": 420, "height": 500})
    page.focus("#open-gaps")
    page.evaluate("document.querySelector('#board-market-scroll').scrollLeft = 60")
    before = page.evaluate("[scrollY, document.querySelector('#board-market-scroll').scrollLeft]")
    assert min(before) > 0
    CaptureGapFactory.create(started_at=timezone.now() - timedelta(seconds=90), ended_at=None)
    refresh(board)
    expect(page.locator("#board-gaps td.gap-open")).to_have_count(1)
    assert page.evaluate("document.activeElement.id") == "open-gaps"
    scrolled = page.evaluate("document.querySelector('#board-market-scroll').scrollLeft")
    assert scrolled == before[1]


def test_a_page_that_cannot_be_refreshed_says_since_when_it_is_stale(board):
    page, trouble = board.page, board.page.locator("#board-trouble")
    page.route("**/dashboard/live/**", lambda route: route.fulfill(status=503, body="later"))
    refresh(board)
    expect(trouble).to_contain_text("UTC: the site answered with status 503.")
    assert trouble.inner_text().startswith("Stale since ")
    expect(page.locator("#board-state")).to_contain_text("All is well")
    page.unroute("**/dashboard/live/**")
    refresh(board)
    expect(trouble).to_have_text("")


def test_whoever_is_signed_out_is_told_so_and_sees_no_form_to_sign_in(board):
    board.page.context.clear_cookies()
    refresh(board)
    expect(board.page.locator("#board-trouble")).to_contain_text("you are signed out")
    expect(board.page.locator("[name=password]")).to_have_count(0)


def test_a_hidden_tab_and_a_paused_page_ask_nothing(board):
    page, asked = board.page, []
    page.on("request", lambda request: asked.append(request.url))
    hide = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s})"
    page.evaluate(hide % "true")
    page.clock.run_for(10 * REFRESH_MS)
    assert asked == []
    page.evaluate(hide % "false")
    with page.expect_response("**/dashboard/live/**"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.click("#board-pause")
    expect(page.locator("#board-pause")).to_have_text("Resume updates")
    page.clock.run_for(10 * REFRESH_MS)
    assert len(asked) == 1
    with page.expect_response("**/dashboard/live/**"):
        page.click("#board-pause")
