"""The vault: what is sealed opens for its row and its key, and for nothing else."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import fields, replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from accounts import vault
from accounts.secret import Secret
from accounts.vault import Binding

BINDING = Binding(tenant="user", account="account", environment="demo", row="row", field="secret")
PLACES = [field.name for field in fields(Binding)]


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def opens(blob: bytes, binding: Binding = BINDING) -> bool:
    try:
        vault.open_sealed(blob, binding)
    except vault.VaultError:
        return False
    return True


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens(secret):
    assert vault.open_sealed(vault.seal(secret, BINDING), BINDING) == Secret(secret)


def test_the_same_secret_is_sealed_differently_each_time():
    assert vault.seal("secret", BINDING) != vault.seal("secret", BINDING)


def test_the_secret_cannot_be_read_in_what_is_sealed():
    assert b"my secret" not in vault.seal("my secret", BINDING)


@pytest.mark.parametrize("place", PLACES)
def test_another_rows_secret_does_not_open(place):
    sealed = vault.seal("secret", BINDING)
    with pytest.raises(vault.VaultError, match="altered or belongs to another row"):
        vault.open_sealed(sealed, replace(BINDING, **{place: "other"}))


def test_no_row_of_many_opens_in_the_place_of_another():
    values = dict.fromkeys(PLACES, ("a", "b"))
    bindings = [BINDING]
    for place, pair in values.items():
        bindings = [replace(each, **{place: value}) for each in bindings for value in pair]
    sealed = [vault.seal("secret", binding) for binding in bindings]
    pairs = [(blob, binding) for blob in sealed for binding in bindings]
    opened = [opens(blob, binding) for blob, binding in pairs]
    assert (len(pairs), sum(opened)) == (1024, 32)
    assert all(vault.open_sealed(*pair) for pair in zip(sealed, bindings, strict=True))


def test_bindings_that_read_alike_are_still_different():
    alike = [("ab", "c"), ("a", "bc"), ("1:a", "c"), ("", "abc"), ("abc", "")]
    data = {replace(BINDING, tenant=a, account=b).associated_data(b"\x02") for a, b in alike}
    assert len(data) == len(alike)


def test_no_bit_can_be_flipped():
    sealed = vault.seal("a secret of thirty-six characters...", BINDING)
    flipped = 0
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        assert not opens(bytes(altered)), bit
        flipped += 1
    assert flipped == 8 * (17 + 36 + 16)


def test_nothing_can_be_cut_off_or_added():
    sealed = vault.seal("a secret of thirty-six characters...", BINDING)
    pieces = [sealed[start:end] for end in range(len(sealed) + 1) for start in range(end + 1)]
    pieces.remove(sealed)
    assert len(pieces) == 70 * 71 // 2 - 1
    for piece in [*pieces, sealed + b"\0", b"\0" + sealed, sealed * 2]:
        assert not opens(piece), len(piece)


def sealed_as_version_1(secret: str, settings) -> bytes:
    """What the vault wrote before it bound the environment."""
    key = vault.parse_key(settings.GRIDBOT_CREDENTIAL_KEYS[0])
    data = b"7:gridbot2:014:user7:account3:row6:secret"
    nonce = secrets.token_bytes(12)
    key_id = hashlib.sha256(key).digest()[:4]
    return b"\x01" + key_id + nonce + AESGCM(key).encrypt(nonce, secret.encode(), data)


def test_what_was_sealed_before_the_environment_was_bound_opens_and_is_brought_up_to_date(settings):
    old = sealed_as_version_1("secret", settings)
    assert vault.open_sealed(old, BINDING) == Secret("secret")
    assert not vault.is_current(old)
    new = vault.reseal(old, BINDING)
    assert vault.is_current(new)
    assert vault.open_sealed(new, BINDING) == Secret("secret")
    assert not opens(new, replace(BINDING, environment="mainnet"))


@pytest.mark.parametrize("place", [place for place in PLACES if place != "environment"])
def test_version_1_is_bound_to_all_else(settings, place):
    assert not opens(sealed_as_version_1("s", settings), replace(BINDING, **{place: "other"}))


def test_no_version_passes_for_another(settings):
    old, new = sealed_as_version_1("secret", settings), vault.seal("secret", BINDING)
    assert not opens(b"\x02" + old[1:])
    assert not opens(b"\x01" + new[1:])
    assert not any(opens(bytes([version]) + new[1:]) for version in range(256) if version != 2)


def test_a_key_that_is_not_configured_is_named_as_the_reason(settings):
    sealed = vault.seal("secret", BINDING)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new_key()]
    with pytest.raises(vault.VaultError, match="not in GRIDBOT_CREDENTIAL_KEYS"):
        vault.open_sealed(sealed, BINDING)


def test_the_first_key_seals_and_all_keys_open(settings):
    old, new = new_key(), new_key()
    settings.GRIDBOT_CREDENTIAL_KEYS = [old]
    sealed = vault.seal("secret", BINDING)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new, old]
    assert vault.key_ids()[1] == vault.key_id_of(sealed)
    assert vault.open_sealed(sealed, BINDING) == Secret("secret")
    assert not vault.is_current(sealed)
    again = vault.seal("secret", BINDING)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new]
    assert vault.open_sealed(again, BINDING) == Secret("secret")
    assert vault.key_ids() == [vault.key_id_of(again)]


def test_without_a_key_nothing_is_sealed(settings):
    settings.GRIDBOT_CREDENTIAL_KEYS = []
    with pytest.raises(vault.VaultError, match="No credential key is configured"):
        vault.seal("secret", BINDING)


def test_a_secret_that_is_no_text_is_refused_without_being_repeated():
    with pytest.raises(vault.VaultError) as error:
        vault.seal("hush\ud800", BINDING)
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


@pytest.mark.parametrize("secret_key", ["x" * 32, "A" * 43 + "=", "any words at all", "50" * 25])
def test_nothing_is_sealed_with_a_key_that_secret_key_gives_away(settings, secret_key):
    settings.SECRET_KEY = secret_key
    taken = {secret_key.encode(), hashlib.sha256(secret_key.encode()).digest()}
    taken.add(secret_key.encode()[:32])
    if secret_key.endswith("="):
        taken.add(vault.parse_key(secret_key))
    keys = [base64.b64encode(key).decode() for key in taken if len(key) == 32]
    assert len(keys) == {"x": 2, "A": 3, "a": 1, "5": 2}[secret_key[0]]
    for key in keys:
        settings.GRIDBOT_CREDENTIAL_KEYS = [new_key(), key]
        with pytest.raises(vault.VaultError, match="must not be SECRET_KEY"):
            vault.seal("secret", BINDING)
