"""Passwords, lock-outs, sessions, and what browsers are told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.conf import settings as project
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from gridbot_site.addresses import client_address, guesser_address
from gridbot_site.tests.signing_in import LOGIN, every_url, give_password

pytestmark = pytest.mark.django_db
POLICY = {
    "default-src 'self'",
    "img-src 'self' data:",
    *("object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"),
    "form-action 'self'",
}


# --- Guessing -------------------------------------------------------------------------------


@pytest.fixture
def guessed(client, olivia):
    """The operator's password was guessed at, five times from one address."""
    return [give_password(client, olivia, f"guess {n}") for n in range(5)]


def test_the_fifth_wrong_password_locks_the_name_at_the_address(guessed, client, olivia):
    assert [answer.status_code for answer in guessed] == [200, 200, 200, 200, 429]
    answer = give_password(client, olivia)
    assert answer.status_code == 429, "the right password came too late"
    assert "nobody can sign in under this name" in " ".join(answer.content.decode().split())
    assert "0:15:00" in answer.content.decode()
    assert client.get("/admin/").status_code == 302


def test_a_name_longer_than_any_is_an_error_of_its_box(client, db):
    answer = give_password(client, "x" * 300)
    assert list(answer.context["form"].errors) == ["username"]


def test_no_row_is_looked_up_for_a_page_of_the_site(olivia_client, bob_account):
    content_type = ContentType.objects.get_for_model(bob_account)
    for key in (bob_account.pk, "no key"):
        assert olivia_client.get(f"/admin/r/{content_type.pk}/{key}/").status_code == 404


def test_others_are_not_locked_out(guessed, client, olivia, bob):
    assert give_password(client, olivia, REMOTE_ADDR="10.1.1.1").status_code == 302
    assert give_password(Client(), bob).status_code == 302


def test_it_ends_by_itself(guessed, client, olivia):
    from axes.models import AccessAttempt

    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert give_password(client, olivia).status_code == 302


def test_a_sign_in_in_time_forgets_the_wrong_ones(client, olivia):
    for _ in range(2):
        for guess in ("one", "two", "three", "four", PASSWORD):
            answer = give_password(client, olivia, guess)
        assert answer.status_code == 302


def test_what_was_guessed_is_not_kept(guessed, olivia):
    from axes.models import AccessAttempt

    [attempt] = AccessAttempt.objects.values()
    assert attempt["failures_since_start"] == 5
    assert "guess " not in str(attempt)


def test_a_made_up_address_does_not_help_the_guesser(guessed, client, olivia):
    answer = give_password(client, olivia, HTTP_X_FORWARDED_FOR="10.1.1.1")
    assert answer.status_code == 429


@pytest.mark.parametrize(
    ("proxies", "header", "expected"),
    [
        (0, "10.1.1.1", "127.0.0.1"),
        (1, "10.1.1.1", "10.1.1.1"),
        (1, "6.6.6.6, 10.1.1.1", "10.1.1.1"),
        (2, "6.6.6.6, 10.1.1.1 , 10.2.2.2", "10.1.1.1"),
        (2, "10.1.1.1", None),
        (1, "6.6.6.6, nonsense", None),
        (1, "", None),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_address_is_what_our_own_proxies_saw(settings, proxies, header, expected):
    settings.GRIDBOT_PROXIES = proxies
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR=header)
    assert client_address(request) == expected


def test_another_address_of_the_same_network_does_not_help_the_guesser(client, olivia):
    answers = [
        give_password(client, olivia, f"guess {n}", REMOTE_ADDR=f"2001:db8::{n}") for n in range(5)
    ]
    assert answers[-1].status_code == 429
    assert give_password(client, olivia, REMOTE_ADDR="2001:db8:0:0:ffff::1").status_code == 429
    assert give_password(client, olivia, REMOTE_ADDR="2001:db8:0:1::1").status_code == 302


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.1.1.1", "10.1.1.1"),
        ("::ffff:10.1.1.1", "10.1.1.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", None),
    ],
)
def test_guesses_are_counted_by_network(address, counted):
    assert guesser_address(RequestFactory().get("/", REMOTE_ADDR=address)) == counted


def test_only_operators_see_refused_sign_ins(guessed, bob_client, olivia, olivia_client):
    from django.contrib.auth.models import Permission

    page = "/admin/axes/accessattempt/"
    assert olivia_client.get(page).status_code == 200
    bob = bob_client.get("/admin/").wsgi_request.user
    bob.user_permissions.set(Permission.objects.all())
    assert bob_client.get(page).status_code == 403


def test_the_old_password_is_no_easier_to_guess(olivia, olivia_client):
    guesses = [change_password(olivia_client, f"guess {n}") for n in range(5)]
    assert [answer.status_code for answer in guesses] == [200, 200, 200, 200, 429]
    assert list(guesses[0].context["form"].errors) == ["old_password"]
    assert change_password(olivia_client, PASSWORD).status_code == 429, "it came too late"
    refused = LogEntry.objects.filter(additional_data__event="password refused")
    assert {entry.object_repr for entry in refused} == {"olivia"}
    assert len(refused) == 5


def change_password(client, old):
    new = "another horse, another battery"
    data = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post("/admin/password_change/", data)


# --- Suspended and deleted users ------------------------------------------------------------


@pytest.mark.parametrize("status", [User.Status.SUSPENDED, User.Status.DELETED])
def test_whoever_is_not_active_neither_signs_in_nor_stays(client, olivia, olivia_client, status):
    assert olivia_client.get("/admin/").status_code == 200
    olivia.status = status
    olivia.save()
    answer = give_password(client, olivia)
    assert (answer.status_code, list(answer.context["form"].errors)) == (200, ["__all__"])
    assert client.get("/admin/").url.startswith(LOGIN)
    assert olivia_client.get("/admin/").url.startswith(LOGIN)


# --- Sessions -------------------------------------------------------------------------------


def test_a_session_ends_after_eight_hours_whatever_is_done_in_it(olivia_client):
    session = olivia_client.session
    written_to = timezone.now() + timedelta(hours=3)
    left = timedelta(seconds=session.get_expiry_age(modification=written_to))
    assert timedelta(hours=4, minutes=59) < left <= timedelta(hours=5)
    session["something"] = 1
    session.save()
    left = Session.objects.get().expire_date - timezone.now()
    assert timedelta(hours=7, minutes=59) < left <= timedelta(hours=8)


def test_an_ended_session_is_signed_out(olivia_client):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert olivia_client.get("/admin/").url.startswith(LOGIN)


def test_a_new_password_ends_all_other_sessions(olivia, olivia_client):
    other = Client()
    other.force_login(olivia)
    assert change_password(olivia_client, PASSWORD).status_code == 302
    assert olivia_client.get("/admin/").status_code == 200
    assert other.get("/admin/").url.startswith(LOGIN)


def test_passwords_are_hashed_by_scrypt_and_old_hashes_become_so(settings, client):
    from gridbot_site import settings as site

    settings.PASSWORD_HASHERS = [site.PASSWORD_HASHERS[1]]
    user = UserFactory.create(is_staff=True)
    settings.PASSWORD_HASHERS = site.PASSWORD_HASHERS
    assert give_password(client, user).status_code == 302
    user.refresh_from_db()
    assert user.password.startswith("scrypt$")


# --- What browsers are told -----------------------------------------------------------------


def test_every_answer_has_its_headers(olivia_client):
    pages = {url: olivia_client.get(url) for url in every_url()}
    pages |= {"host": olivia_client.get("/", HTTP_HOST="other.example")}
    pages |= {"missing": olivia_client.get("/nowhere")}
    assert {400, 302, 200, 404, 405} <= {page.status_code for page in pages.values()}
    wrong = {url: page.headers for url, page in pages.items() if not has_headers(page)}
    assert not wrong


def has_headers(page):
    return (
        set(page.headers["Content-Security-Policy"].split("; ")) == POLICY
        and page.headers["Cache-Control"] == "private, no-store"
    )


def test_a_form_from_elsewhere_is_refused_with_them(olivia):
    browser = Client(enforce_csrf_checks=True)
    answer = give_password(browser, olivia)
    assert answer.status_code == 403
    assert has_headers(answer)
    assert b"style" not in answer.content


def test_an_error_of_ours_has_them(olivia_client, monkeypatch):
    from django.contrib import admin

    monkeypatch.setattr(admin.site, "get_app_list", lambda *_: 1 / 0)
    olivia_client.raise_request_exception = False
    answer = olivia_client.get("/admin/")
    assert answer.status_code == 500
    assert has_headers(answer)


def test_nobody_frames_a_page_or_learns_where_one_came_from(client):
    headers = client.get(LOGIN).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_cookies_are_out_of_reach_of_scripts(client, olivia):
    cookies = give_password(client, olivia).cookies
    assert set(cookies) == {project.SESSION_COOKIE_NAME, project.CSRF_COOKIE_NAME}
    for cookie in cookies.values():
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert not cookie["domain"]
