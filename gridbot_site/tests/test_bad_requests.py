"""What no page of the site asks for is refused, and is no error of ours."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group

from accounts.chosen_rows import CheckedKeysAdmin
from accounts.models import User

pytestmark = pytest.mark.django_db
WORD = "What was chosen is no row of this list."


@pytest.mark.parametrize(
    "url",
    [
        "/%00",
        "/admin/accounts/user/%00/change/",
        "/admin/auth/group/1%00/history/",
        "/admin/accounts/user/?q=a%00b",
        "/admin/accounts/user/?a%00b=1",
        "/admin/marketdata/publictrade/?symbol=%00",
        "/admin/login/?next=%00",
    ],
)
def test_a_nul_byte_in_a_url_is_a_bad_request(olivia_client, url):
    answer = olivia_client.get(url)
    assert answer.status_code == 400
    for name in ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options"):
        assert name in answer.headers


def test_a_percent_sign_before_two_zeros_is_none(olivia_client):
    assert olivia_client.get("/admin/accounts/user/?q=%2500").status_code == 200


@pytest.mark.parametrize("confirmed", [{}, {"post": "yes"}, {"index": "0"}])
@pytest.mark.parametrize("key", ["x", "", "\x00", "9" * 40, "-" + "9" * 40])
@pytest.mark.parametrize("model", ["accounts/user", "accounts/apicredential", "auth/group"])
def test_an_action_on_what_is_no_key_says_so(olivia_client, olivia, model, key, confirmed):
    Group.objects.create(name="desk")
    data = {"action": "delete_selected", "_selected_action": [str(olivia.pk), key]}
    answer = olivia_client.post(f"/admin/{model}/", data | confirmed)
    assert (answer.status_code, answer.url) == (302, f"/admin/{model}/")
    assert WORD in olivia_client.get(answer.url).content.decode()
    assert (User.objects.count(), Group.objects.count()) == (1, 1)


def test_an_action_on_a_key_is_taken(olivia_client):
    for name in ("desk", "office"):
        group = Group.objects.create(name=name)
    data = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
    olivia_client.post("/admin/auth/group/", data)
    assert [str(group) for group in Group.objects.all()] == ["desk"]


def test_every_page_of_the_admin_looks_at_keys():
    others = [str(page) for page in admin.site._registry.values()
              if not isinstance(page, CheckedKeysAdmin)]  # fmt: skip
    assert not others
