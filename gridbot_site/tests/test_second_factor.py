"""The second factor: who is asked, what lets in, and how devices come and go."""

from __future__ import annotations

import base64
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.tests.factories import PASSWORD
from gridbot_site.second_factor import new_recovery_codes
from gridbot_site.tests.signing_in import (
    LOGIN,
    VERIFY,
    code_of,
    device_of,
    every_url,
    give_code,
    give_password,
    sign_in,
)

pytestmark = pytest.mark.django_db
PAGES = "/admin/second-factor/"


@pytest.fixture(autouse=True)
def required(settings):
    """As in production."""
    settings.GRIDBOT_REQUIRE_OTP = True


@pytest.fixture
def olivia_halfway(client, olivia):
    """A browser in which the operator's password is known, and no more."""
    give_password(client, olivia)
    return client


def enrol(client, name="phone", **wrong):
    """Add an app by its page; the key and the answer."""
    page = client.get(f"{PAGES}add/").content.decode()
    key = "".join(re.search(r'<code class="key">([A-Z2-7 ]+)</code>', page)[1].split())
    secret = base64.b32decode(key)
    data = {"name": name, "code": f"{totp(secret):06d}", "password": PASSWORD}
    return key, client.post(f"{PAGES}add/", data | wrong)


# --- Who is asked ---------------------------------------------------------------------------


def test_every_page_of_the_admin_leads_to_the_code(olivia_halfway, olivia):
    device_of(olivia)
    answers = {url: olivia_halfway.get(url) for url in every_url() if url.startswith("/admin/")}
    assert len(answers) > 60
    let_in = {url for url, answer in answers.items() if answer.status_code != 302}
    assert let_in == {VERIFY, "/admin/logout/"}
    targets = {answers[url].url.partition("?")[0] for url in answers.keys() - let_in}
    assert targets == {LOGIN, VERIFY}


def test_without_a_device_every_page_leads_to_adding_one(olivia_halfway):
    answers = {url: olivia_halfway.get(url) for url in every_url() if url.startswith("/admin/")}
    let_in = {url for url, answer in answers.items() if answer.status_code != 302}
    assert let_in == {f"{PAGES}add/", "/admin/logout/"}
    answer = olivia_halfway.get("/admin/accounts/user/", follow=True)
    assert answer.redirect_chain[-1][0] == f"{PAGES}add/"


def test_strangers_see_no_page_of_the_second_factor(client, alice):
    for _ in range(2):
        for page in ("", "verify/", "add/", "remove/", "recovery-codes/"):
            assert client.get(PAGES + page).url.startswith(LOGIN)
        client.force_login(alice)  # She has a password, and is not of the staff.


def test_whoever_is_halfway_in_may_leave(olivia_halfway, olivia):
    assert olivia_halfway.post("/admin/logout/").status_code == 200
    assert "_auth_user_id" not in olivia_halfway.session


def test_where_it_is_not_required_only_who_has_a_device_is_asked(settings, client, olivia):
    settings.GRIDBOT_REQUIRE_OTP = False
    give_password(client, olivia)
    assert client.get("/admin/").status_code == 200
    device_of(olivia)
    assert client.get("/admin/").status_code == 302


def test_a_code_too_long_for_a_number_is_refused_like_any_other(olivia_halfway):
    _, answer = enrol(olivia_halfway, code="1" * 5_000)
    assert (answer.status_code, TOTPDevice.objects.count()) == (200, 0)


# --- What lets in ---------------------------------------------------------------------------


def test_a_code_lets_in_to_the_page_that_was_asked_for(client, olivia):
    device = device_of(olivia)
    asked = client.get("/admin/accounts/user/", follow=True)
    data = {"username": "olivia", "password": PASSWORD, "next": asked.context["next"]}
    asked = client.post(LOGIN, data, follow=True)
    assert asked.redirect_chain[-1][0] == f"{VERIFY}?next=%2Fadmin%2Faccounts%2Fuser%2F"
    before = client.session.session_key
    data = {"otp_device": device.persistent_id, "otp_token": code_of(device)}
    data["next"] = asked.context["next"]
    answer = client.post(VERIFY, data, follow=True)
    assert (answer.redirect_chain[-1][0], answer.status_code) == ("/admin/accounts/user/", 200)
    assert client.session.session_key != before


def test_it_leads_to_no_other_site(olivia_halfway, olivia):
    device = device_of(olivia)
    data = {"otp_device": device.persistent_id, "otp_token": code_of(device)}
    answer = olivia_halfway.post(VERIFY, data | {"next": "https://evil.example/"})
    assert answer.url == "/admin/"


def test_a_code_works_once(client, olivia):
    device = device_of(olivia)
    give_password(client, olivia)
    code = code_of(device)
    assert give_code(client, device, code).status_code == 302
    other = Client()
    give_password(other, olivia)
    assert give_code(other, device, code).status_code == 200
    assert other.get("/admin/").status_code == 302


def test_another_users_code_does_not_let_in(olivia_halfway, olivia, bob):
    device_of(olivia)
    his = device_of(bob)
    assert give_code(olivia_halfway, his, code_of(his)).status_code == 200
    assert olivia_halfway.get("/admin/").status_code == 302


def test_guessing_is_slowed_down(settings, olivia_halfway, olivia):
    settings.OTP_TOTP_THROTTLE_FACTOR = 3600  # In place of 1 s, which a slow machine outlasts.
    device = device_of(olivia)
    wrong = f"{(int(code_of(device)) + 500_000) % 1_000_000:06d}"
    give_code(olivia_halfway, device, wrong)
    device.refresh_from_db()
    assert device.throttling_failure_count == 1
    answer = give_code(olivia_halfway, device, code_of(device))
    assert answer.status_code == 200, "the right code came too soon after the wrong one"
    assert "temporarily disabled" in answer.content.decode()


def test_a_recovery_code_works_once(olivia_halfway, olivia):
    device_of(olivia)
    code = new_recovery_codes(olivia)[3]
    device = StaticDevice.objects.get(user=olivia)
    assert give_code(olivia_halfway, device, f" {code.upper()} ").status_code == 302
    assert olivia_halfway.get("/admin/").status_code == 200
    other = Client()
    give_password(other, olivia)
    assert give_code(other, device, code).status_code == 200
    assert other.get("/admin/").status_code == 302
    assert device.token_set.count() == 9


def test_the_database_holds_no_recovery_code(olivia):
    codes = {code.replace("-", "") for code in new_recovery_codes(olivia)}
    assert len(codes) == 10
    stored = set(StaticToken.objects.values_list("token", flat=True))
    assert len(stored) == 10
    assert not codes & stored


# --- How devices come and go ----------------------------------------------------------------


def test_the_first_app_is_added_and_ten_codes_are_shown_once(olivia_halfway, olivia):
    key, answer = enrol(olivia_halfway)
    codes = re.findall(r"<code>([a-z2-7]{4}-[a-z2-7]{4})</code>", answer.content.decode())
    assert len(set(codes)) == 10
    assert olivia_halfway.get("/admin/").status_code == 200
    page = olivia_halfway.get(PAGES).content.decode()
    assert "Recovery codes left: 10" in page
    assert not any(text in page for text in (key, *codes))
    assert olivia_halfway.get(f"{PAGES}add/").context["key"].replace(" ", "") != key


def test_the_code_that_added_an_app_is_used_up(olivia_halfway, olivia):
    _, answer = enrol(olivia_halfway)
    code = answer.wsgi_request.POST["code"]
    other = Client()
    give_password(other, olivia)
    assert give_code(other, TOTPDevice.objects.get(), code).status_code == 200


def test_the_picture_needs_no_other_source(olivia_halfway):
    page = olivia_halfway.get(f"{PAGES}add/").content.decode()
    assert 'src="data:image/svg+xml;base64,' in page


@pytest.mark.parametrize("wrong", [{"code": "000000x"}, {"password": "wrong"}, {"code": ""}])
def test_an_app_is_added_only_with_its_code_and_the_password(olivia_halfway, wrong):
    _, answer = enrol(olivia_halfway, **wrong)
    assert answer.context["form"].errors.keys() == wrong.keys()
    assert not TOTPDevice.objects.exists()
    assert olivia_halfway.get("/admin/").status_code == 302


def test_who_knows_only_the_password_does_not_add_a_second_app(olivia_halfway, olivia):
    device_of(olivia)
    for page in ("add/", "remove/", "recovery-codes/", ""):
        assert olivia_halfway.get(PAGES + page).url == VERIFY
        assert olivia_halfway.post(PAGES + page, {"password": PASSWORD}).url == VERIFY


def test_a_key_that_was_shown_to_one_browser_is_not_shown_to_another(olivia_halfway, olivia):
    other = Client()
    give_password(other, olivia)
    keys = {browser.get(f"{PAGES}add/").context["key"] for browser in (olivia_halfway, other)}
    assert len(keys) == 2


def test_codes_are_made_anew_with_the_password(client, olivia):
    sign_in(client, olivia)
    old = new_recovery_codes(olivia)
    refused = client.post(f"{PAGES}recovery-codes/", {"password": "wrong"})
    assert "not your password" in refused.content.decode()
    assert StaticToken.objects.count() == 10
    answer = client.post(f"{PAGES}recovery-codes/", {"password": PASSWORD})
    new = answer.context["codes"]
    assert not set(old) & set(new)
    other = Client()
    give_password(other, olivia)
    assert give_code(other, StaticDevice.objects.get(), old[0]).status_code == 200
    assert StaticToken.objects.count() == 10


def test_the_password_is_not_guessed_in_a_browser_that_was_left_open(client, olivia):
    sign_in(client, olivia)
    guesses = [{"password": f"guess {n}"} for n in range(5)] + [{"password": PASSWORD}]
    answers = [client.post(f"{PAGES}recovery-codes/", guess) for guess in guesses]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429, 429]
    assert not StaticToken.objects.exists()


def test_an_app_is_removed_unless_it_is_the_last(client, olivia, bob):
    first, his = sign_in(client, olivia), device_of(bob)
    form = {"password": PASSWORD}
    client.post(f"{PAGES}remove/", form | {"device": first.pk})
    assert TOTPDevice.objects.filter(user=olivia).count() == 1
    enrol(client, name="tablet")
    client.post(f"{PAGES}remove/", form | {"device": his.pk})
    client.post(f"{PAGES}remove/", {"password": "wrong", "device": first.pk})
    assert TOTPDevice.objects.count() == 3
    client.post(f"{PAGES}remove/", form | {"device": first.pk})
    assert [device.name for device in TOTPDevice.objects.filter(user=olivia)] == ["tablet"]
    assert his in TOTPDevice.objects.all()


# --- The command ----------------------------------------------------------------------------


def test_the_command_takes_everything_away_and_the_next_sign_in_begins_anew(client, olivia, capsys):
    sign_in(client, olivia)
    new_recovery_codes(olivia)
    call_command("reset_otp", "olivia")
    assert "olivia: 2 devices" in capsys.readouterr().out
    assert not StaticToken.objects.exists()
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == f"{PAGES}add/"


def test_the_command_knows_no_other_users(olivia):
    with pytest.raises(CommandError, match="no user of this name"):
        call_command("reset_otp", "nobody")
