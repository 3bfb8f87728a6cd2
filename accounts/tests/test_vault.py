"""The vault: what is sealed opens for its row and its key, and for nothing else."""

from __future__ import annotations

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import vault

CONTEXT = ("user", "account", "row", "secret")


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens(secret):
    assert vault.open_sealed(vault.seal(secret, context=CONTEXT), context=CONTEXT) == secret


def test_the_same_secret_is_sealed_differently_each_time():
    assert vault.seal("secret", context=CONTEXT) != vault.seal("secret", context=CONTEXT)


def test_the_secret_cannot_be_read_in_what_is_sealed():
    assert b"my secret" not in vault.seal("my secret", context=CONTEXT)


@pytest.mark.parametrize("part", range(len(CONTEXT)))
def test_another_rows_secret_does_not_open(part):
    sealed = vault.seal("secret", context=CONTEXT)
    other = tuple("other" if index == part else text for index, text in enumerate(CONTEXT))
    with pytest.raises(vault.VaultError, match="altered or belongs to another row"):
        vault.open_sealed(sealed, context=other)


@pytest.mark.parametrize("other", [("a|b",), ("a", "b|"), ("ab",), ("1:a", "b"), ("a", "b", "")])
def test_contexts_that_read_alike_are_still_different(other):
    with pytest.raises(vault.VaultError):
        vault.open_sealed(vault.seal("secret", context=("a", "b")), context=other)


def test_no_bit_can_be_flipped():
    sealed = vault.seal("secret", context=CONTEXT)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(vault.VaultError):
            vault.open_sealed(bytes(altered), context=CONTEXT)


def test_nothing_can_be_cut_off_or_added():
    sealed = vault.seal("secret", context=CONTEXT)
    pieces = [sealed[:end] for end in range(len(sealed))]
    pieces += [sealed[start:] for start in range(1, len(sealed))]
    for piece in [*pieces, sealed + b"\0", b"\0" + sealed, sealed * 2]:
        with pytest.raises(vault.VaultError):
            vault.open_sealed(piece, context=CONTEXT)


def test_a_key_that_is_not_configured_is_named_as_the_reason(settings):
    sealed = vault.seal("secret", context=CONTEXT)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new_key()]
    with pytest.raises(vault.VaultError, match="not in GRIDBOT_CREDENTIAL_KEYS"):
        vault.open_sealed(sealed, context=CONTEXT)


def test_the_first_key_seals_and_all_keys_open(settings):
    old, new = new_key(), new_key()
    settings.GRIDBOT_CREDENTIAL_KEYS = [old]
    sealed = vault.seal("secret", context=CONTEXT)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new, old]
    assert vault.open_sealed(sealed, context=CONTEXT) == "secret"
    again = vault.seal("secret", context=CONTEXT)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new]
    assert vault.open_sealed(again, context=CONTEXT) == "secret"


def test_without_a_key_nothing_is_sealed(settings):
    settings.GRIDBOT_CREDENTIAL_KEYS = []
    with pytest.raises(vault.VaultError, match="No credential key is configured"):
        vault.seal("secret", context=CONTEXT)


def test_a_secret_that_is_no_text_is_refused_without_being_repeated():
    with pytest.raises(vault.VaultError) as error:
        vault.seal("hush\ud800", context=CONTEXT)
    assert "hush" not in repr(error.value)
    assert error.value.__suppress_context__


@pytest.mark.parametrize("text", ["", "short", "ä" * 44, "A" * 43, "A" * 44 + "=", "!" * 44])
def test_a_key_is_base64_of_32_bytes(text):
    with pytest.raises(vault.VaultError, match="base64 of 32 bytes") as error:
        vault.parse_key(text)
    assert not text or text not in str(error.value)


def test_both_alphabets_of_base64_are_read():
    raw = bytes(range(224, 256))
    for text in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        assert vault.parse_key(text.decode()) == raw
