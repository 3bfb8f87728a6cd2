"""What the site refuses to start with."""

from __future__ import annotations

import base64
import hashlib
import secrets
from string import ascii_lowercase, ascii_uppercase, digits

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from accounts.checks import credential_keys
from gridbot_site import checks

GOOD = secrets.token_urlsafe(50)
ALPHABET = ascii_lowercase + digits[::-1] + ascii_uppercase


def ids(messages):
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def encoded(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


# Random values, which every worker of a run makes anew, have no place in the names of tests.
RANDOM = {
    "as documented": GOOD,
    "hexadecimal": secrets.token_hex(32),
    "very long": secrets.token_urlsafe(200),
}
WEAK = {
    "short": (GOOD[:49], "E001"),
    "one letter": ("x" * 50, "E001"),
    "ten letters again and again": ("abcdefghij" * 6, "E001"),
    "twice the same": (secrets.token_urlsafe(24)[:30] * 2, "E001"),
    "all letters and digits": (ALPHABET, "E001"),
    "every second of them, twice": (ALPHABET[::2] + ALPHABET[1::2], "E001"),
    "two letters": ("ab" * 20 + "ba" * 20, "E001"),
    "django's": ("django-insecure-" + GOOD, "E002"),
    "to be changed": ("Change-Me-" + GOOD, "E002"),
    "words": ("this is my very secret key and it is 50 letters long", "E002"),
    "an example": ("your-example-key-" + GOOD, "E002"),
}
SAMPLES = {
    "zeros": bytes(32),
    "a count": bytes(range(32)),
    "a count down": bytes(range(64, 0, -2)),
    "digits": b"0123456789abcdef" * 2,
    "words": b"correct horse battery staple....",
    "hexadecimal": secrets.token_hex(16).encode(),
    "four times the same": secrets.token_bytes(8) * 4,
}


@pytest.mark.parametrize("key", RANDOM.values(), ids=RANDOM)
def test_a_random_secret_key_passes(settings, key):
    settings.SECRET_KEY = key
    assert checks.secret_key(None) == []


@pytest.mark.parametrize(("key", "expected"), WEAK.values(), ids=WEAK)
def test_a_weak_or_sample_secret_key_is_refused(settings, key, expected):
    settings.SECRET_KEY = key
    assert ids(checks.secret_key(None)) == [f"gridbot.{expected}"]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = GOOD, [key]
    assert ids(checks.secret_key(None)) == [f"gridbot.{expected}"]
    settings.DEBUG = True
    assert checks.secret_key(None) == []


def test_no_message_repeats_a_key(settings):
    settings.SECRET_KEY = "hush-hush-change-me"
    settings.GRIDBOT_CREDENTIAL_KEYS = [encoded(b"hush-hush-hush-hush-hush-hush-32")]
    messages = [*checks.secret_key(None), *credential_keys(None)]
    assert len(messages) == 2
    assert "hush" not in str(messages)


@pytest.mark.parametrize("key", SAMPLES.values(), ids=SAMPLES)
def test_a_sample_credential_key_is_refused_wherever_it_stands(settings, key):
    settings.GRIDBOT_CREDENTIAL_KEYS = [encoded(secrets.token_bytes(32)), encoded(key)]
    assert ids(credential_keys(None)) == ["accounts.E005"]
    settings.DEBUG = True
    assert credential_keys(None) == []


def test_a_credential_key_made_of_the_secret_key_is_refused(settings):
    read_as_one = base64.b64encode(bytes(range(200, 232))).decode()
    made = [(GOOD, GOOD.encode()[:32]), (GOOD, hashlib.sha256(GOOD.encode()).digest())]
    for secret_key, key in (*made, (read_as_one, bytes(range(200, 232)))):
        settings.SECRET_KEY, settings.GRIDBOT_CREDENTIAL_KEYS = secret_key, [encoded(key)]
        assert ids(credential_keys(None)) == ["accounts.E003"]


@pytest.mark.parametrize(
    ("debug", "names", "expected"),
    [
        (False, ["bot.example.com"], []),
        (False, ["bot.example.com", "*"], ["gridbot.E003"]),
        (False, ["bot.example.com", "."], ["gridbot.E003"]),
        (False, [".example.com"], []),
        (False, [], ["gridbot.E003"]),
        (True, ["127.0.0.1", "localhost", "[::1]", "bot.localhost", "127.8.8.8"], []),
        (True, [], []),
        (True, ["localhost", "bot.example.com"], ["gridbot.E004"]),
        (True, ["*"], ["gridbot.E004"]),
        (True, ["10.0.0.1"], ["gridbot.E004"]),
        (True, ["localhost.example.com"], ["gridbot.E004"]),
    ],
)
def test_hosts(settings, debug, names, expected):
    settings.DEBUG, settings.ALLOWED_HOSTS = debug, names
    assert ids(checks.hosts(None)) == expected


@pytest.mark.parametrize(("mode", "expected"), [(0o600, []), (0o640, ["gridbot.W001"])])
def test_a_settings_file_that_others_may_read_is_warned_of(settings, tmp_path, mode, expected):
    settings.GRIDBOT_SETTINGS_FILE = str(tmp_path / ".env")
    assert checks.settings_file(None) == []
    (tmp_path / ".env").touch(mode)
    assert ids(checks.settings_file(None)) == expected


def test_the_site_does_not_start_with_any_of_it(settings):
    site = apps.get_app_config("gridbot_site")
    site.ready()
    settings.SECRET_KEY, settings.ALLOWED_HOSTS = "short", ["*"]
    with pytest.raises(ImproperlyConfigured) as error:
        site.ready()
    assert "gridbot.E001" in str(error.value)
    assert "gridbot.E003" in str(error.value)
