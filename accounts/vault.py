"""Seal exchange secrets with AES-256-GCM, each bound to the row it belongs to.

Layout: version (1 byte), key id (4 bytes), nonce (12 bytes), ciphertext with its tag.
The associated data are the version and the row's identity, so that a sealed secret copied
into another row does not open, nor with an account that was turned to another exchange.
Keys come from GRIDBOT_CREDENTIAL_KEYS: the first seals, all open; a key's id is the beginning of
its SHA-256. Version 1 did not bind the environment: it opens, and `reseal` brings it up to date.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from accounts.secret import Secret

VERSION, WITHOUT_ENVIRONMENT = b"\x02", b"\x01"
KEY_ID_BYTES, NONCE_BYTES, TAG_BYTES, KEY_BYTES = 4, 12, 16, 32
HEADER_BYTES = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES


class VaultError(Exception):
    """A secret cannot be sealed or opened; the message never holds any of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a sealed secret belongs to: it opens for nothing else."""

    tenant: str
    account: str
    environment: str
    row: str
    field: str

    def associated_data(self, version: bytes) -> bytes:
        """The bytes that are authenticated with the secret."""
        bound = (self.environment,) if version != WITHOUT_ENVIRONMENT else ()
        parts = ("gridbot", version.hex(), self.tenant, self.account, *bound, self.row, self.field)
        # Each part with its length: two different bindings never read the same.
        return "".join(f"{len(part)}:{part}" for part in parts).encode()


@sensitive_variables()
def seal(secret: str, binding: Binding) -> bytes:
    """Seal `secret` for the row that `binding` names.

    Raises VaultError when no usable key is configured, or when `secret` is no text.
    """
    try:
        plain = secret.encode()
    except UnicodeEncodeError:
        # The original error carries the whole text.
        raise VaultError("The secret holds characters that are not text.") from None
    key_id, key = _sealing_key()
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(key).encrypt(nonce, plain, binding.associated_data(VERSION))
    return VERSION + key_id + nonce + box


@sensitive_variables()
def open_sealed(blob: bytes, binding: Binding) -> Secret:
    """Open what `seal` made for the same `binding`. Raises VaultError for anything else."""
    version, key_id, nonce, box = _parts(blob)
    key = _keys().get(key_id)
    if key is None:
        raise VaultError("The key that sealed this secret is not in GRIDBOT_CREDENTIAL_KEYS.")
    try:
        plain = AESGCM(key).decrypt(nonce, box, binding.associated_data(version))
    except InvalidTag:
        raise VaultError("The sealed secret was altered or belongs to another row.") from None
    return Secret(plain.decode())


def reseal(blob: bytes, binding: Binding) -> bytes:
    """The same secret under the first key; raises VaultError when it does not open."""
    return seal(open_sealed(blob, binding).reveal(), binding)


def is_current(blob: bytes) -> bool:
    """Whether it is sealed as `seal` does it now: with the first key, and fully bound.

    Raises VaultError when no usable key is configured, or when it is no sealed secret.
    """
    version, key_id, *_ = _parts(blob)
    return (version, key_id) == (VERSION, _sealing_key()[0])


def key_id_of(blob: bytes) -> str:
    """The id of the key that sealed it, in hexadecimal. Raises VaultError."""
    return _parts(blob)[1].hex()


def key_ids() -> list[str]:
    """The ids of the configured keys in their order; the first seals. Raises VaultError."""
    return [key_id.hex() for key_id in _keys()]


@sensitive_variables()
def parse_key(text: str) -> bytes:
    """A configured key's 32 bytes. Raises VaultError for anything else."""
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise VaultError("A credential key must be base64 of 32 bytes.")
    return key


@sensitive_variables()
def has_key_of_secret_key(keys: Iterable[bytes]) -> bool:
    """Whether one of `keys` is SECRET_KEY: read as a key, its bytes, the first, or their digest."""
    text: str = settings.SECRET_KEY
    plain = text.encode()
    made = {plain, plain[:KEY_BYTES], hashlib.sha256(plain).digest()}
    with suppress(VaultError):
        made.add(parse_key(text))
    return not made.isdisjoint(keys)


@sensitive_variables()
def _keys() -> dict[bytes, bytes]:
    keys = [parse_key(text) for text in settings.GRIDBOT_CREDENTIAL_KEYS]
    # A system check says so, too; but web servers run no checks.
    if has_key_of_secret_key(keys):
        raise VaultError("A credential key must not be SECRET_KEY, nor be made from it.")
    if not keys:
        raise VaultError("No credential key is configured: set GRIDBOT_CREDENTIAL_KEYS.")
    return {hashlib.sha256(key).digest()[:KEY_ID_BYTES]: key for key in keys}


@sensitive_variables()
def _sealing_key() -> tuple[bytes, bytes]:
    return next(iter(_keys().items()))


def _parts(blob: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Version, key id, nonce, and the rest."""
    version = blob[:1]
    if len(blob) < HEADER_BYTES + TAG_BYTES or version not in (VERSION, WITHOUT_ENVIRONMENT):
        raise VaultError("The sealed secret is damaged or of an unknown version.")
    nonce_at = 1 + KEY_ID_BYTES
    return version, blob[1:nonce_at], blob[nonce_at:HEADER_BYTES], blob[HEADER_BYTES:]
