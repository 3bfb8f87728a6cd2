"""Where credential keys, and other lists of secrets, come from."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from gridbot_site.listed_secrets import NOTIFY_URLS, credential_keys, listed_with_source

KEYS = ["canary-key-one", "canary-key-two"]


def written(path, content="canary-key-one\n\n# the old one\n  canary-key-two  \n", mode=0o600):
    path.write_bytes(content.encode())
    path.chmod(mode)
    return path


def test_without_any_source_there_is_none():
    assert credential_keys({"GRIDBOT_CREDENTIAL_KEYS": " , "}) == []


def test_they_come_from_the_environment():
    assert credential_keys({"GRIDBOT_CREDENTIAL_KEYS": "canary-key-one, canary-key-two,"}) == KEYS


def test_they_come_from_a_file(tmp_path):
    path = written(tmp_path / "keys")
    assert credential_keys({"GRIDBOT_CREDENTIAL_KEYS_FILE": str(path)}) == KEYS


@pytest.mark.parametrize("mode", [0o440, 0o400, 0o600])
def test_they_come_from_systemd_whatever_the_groups_bits_show(tmp_path, mode):
    written(tmp_path / "gridbot-credential-keys", mode=mode)
    assert credential_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == KEYS


def test_another_services_credentials_are_not_asked_for(tmp_path):
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "GRIDBOT_CREDENTIAL_KEYS": KEYS[0]}
    assert credential_keys(environment) == KEYS[:1]


def test_two_sources_leave_open_which_key_seals(tmp_path):
    given = {
        "GRIDBOT_CREDENTIAL_KEYS": KEYS[0],
        "GRIDBOT_CREDENTIAL_KEYS_FILE": str(written(tmp_path / "keys")),
        "CREDENTIALS_DIRECTORY": str(written(tmp_path / "gridbot-credential-keys").parent),
    }
    for missing in given:
        with pytest.raises(ImproperlyConfigured, match="more than once") as error:
            credential_keys({name: value for name, value in given.items() if name != missing})
        assert "canary" not in str(error.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_is_open_to_others_is_refused(tmp_path, mode):
    path = written(tmp_path / "keys", mode=mode)
    with pytest.raises(ImproperlyConfigured, match="open to others; chmod 600"):
        credential_keys({"GRIDBOT_CREDENTIAL_KEYS_FILE": str(path)})


@pytest.mark.parametrize("content", ["", "# canary\n", "canäry\n"])
def test_a_file_without_a_key_is_refused(tmp_path, content):
    path = written(tmp_path / "keys", content)
    with pytest.raises(ImproperlyConfigured, match=r"holds no key|is no list") as error:
        credential_keys({"GRIDBOT_CREDENTIAL_KEYS_FILE": str(path)})
    assert "can" not in str(error.value).replace("cannot", "")


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_said(tmp_path, name):
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        credential_keys({"GRIDBOT_CREDENTIAL_KEYS_FILE": str(tmp_path / name)})


def test_a_file_of_comments_holds_no_address_and_is_no_second_source(tmp_path):
    named = written(tmp_path / "urls", "# none yet\n\n")
    only_comments = {"GRIDBOT_NOTIFY_URLS_FILE": str(named)}
    assert listed_with_source(NOTIFY_URLS, only_comments) == ([], "GRIDBOT_NOTIFY_URLS_FILE")
    beside = only_comments | {"GRIDBOT_NOTIFY_URLS": "json://127.0.0.1"}
    assert listed_with_source(NOTIFY_URLS, beside) == (["json://127.0.0.1"], "GRIDBOT_NOTIFY_URLS")
