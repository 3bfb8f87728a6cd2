"""The admin in a real browser: signing in with a code, and nothing against the policy."""

from __future__ import annotations

import base64

import pytest
from django.contrib import admin
from django_otp.oath import totp

from accounts.tests.factories import PASSWORD, ApiCredentialFactory
from gridbot_site.tests.signing_in import code_of, device_of
from strategies.tests.factories import StrategyFactory

pytestmark = pytest.mark.django_db(transaction=True)


def sign_in(tab, device):
    tab.fill_in(username="olivia", password=PASSWORD)
    tab.submit()
    tab.fill_in(otp_token=code_of(device))
    tab.submit()


def test_signing_in_with_a_code(tab, settings, olivia):
    settings.GRIDBOT_REQUIRE_OTP = True
    device = device_of(olivia)
    assert tab.go("/admin/accounts/user/") == 200
    sign_in(tab, device)
    assert tab.page.url.endswith("/admin/accounts/user/")
    assert tab.page.text_content("#user-tools strong") == "olivia"
    cookies = {cookie["name"]: cookie["httpOnly"] for cookie in tab.page.context.cookies()}
    assert cookies["sessionid"]
    assert tab.complaints == []


def test_adding_an_app_by_the_key_that_is_shown(tab, settings, olivia):
    settings.GRIDBOT_REQUIRE_OTP = True
    tab.go("/admin/")
    tab.fill_in(username="olivia", password=PASSWORD)
    tab.submit()
    assert tab.page.evaluate("document.querySelector('img.qr').naturalWidth") > 0
    key = tab.page.inner_text(".key")
    code = totp(base64.b32decode(key.replace(" ", "")))
    tab.fill_in(code=f"{code:06d}", password=PASSWORD)
    tab.submit()
    assert tab.page.locator(".recovery-codes li").count() == 10
    tab.page.click("text=I have kept them")
    assert tab.page.url.endswith("/admin/")
    assert tab.complaints == []


def test_no_page_of_the_admin_is_against_the_policy(tab, olivia):
    credential, strategy = ApiCredentialFactory.create(), StrategyFactory.create()
    device = device_of(olivia)
    tab.go("/admin/")
    sign_in(tab, device)
    pages = ["/admin/", "/admin/password_change/", "/admin/second-factor/"]
    for model in admin.site._registry:
        pages.append(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
    for row in (olivia, credential.account, credential, strategy):
        page = f"/admin/{row._meta.app_label}/{row._meta.model_name}/"
        pages += [f"{page}{row.pk}/{view}/" for view in ("change", "delete")]
        pages.append(f"{page}add/")
    assert {page: tab.go(page) for page in pages} == dict.fromkeys(pages, 200)
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("injected", "rule"),
    [
        ("<p style='color: red'>", "style-src-attr"),
        ("<img src=x onerror=alert(1)>", "script-src-attr"),
        ("<img src=http://127.0.0.1:9/x>", "img-src"),
        ("<object data=/admin/></object>", "object-src"),
    ],
)
def test_what_is_against_the_policy_is_refused_and_heard(tab, injected, rule):
    tab.go("/admin/login/")
    with tab.page.expect_console_message(lambda message: f"violates {rule}" in message.text):
        tab.page.evaluate("(html) => { document.body.innerHTML = html }", injected)
    assert tab.complaints
