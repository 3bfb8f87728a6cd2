"""Seal exchange secrets with AES-256-GCM, each bound to the row it belongs to.

Layout: version (1 byte), key id (4 bytes), nonce (12 bytes), ciphertext with its tag.
The associated data are the version and the row's identity, so that a sealed secret copied
into another row does not open. Keys come from GRIDBOT_CREDENTIAL_KEYS: the first seals, all
open; a key's id is the beginning of its SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

VERSION = b"\x01"
KEY_ID_BYTES, NONCE_BYTES, TAG_BYTES, KEY_BYTES = 4, 12, 16, 32
HEADER_BYTES = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES


class VaultError(Exception):
    """A secret cannot be sealed or opened; the message never holds any of it."""


@sensitive_variables()
def seal(secret: str, *, context: tuple[str, ...]) -> bytes:
    """Seal `secret` for the row that `context` names.

    Raises VaultError when no usable key is configured, or when `secret` is no text.
    """
    try:
        plain = secret.encode()
    except UnicodeEncodeError:
        # The original error carries the whole text.
        raise VaultError("The secret holds characters that are not text.") from None
    keys = _keys()
    if not keys:
        raise VaultError("No credential key is configured: set GRIDBOT_CREDENTIAL_KEYS.")
    key_id, key = next(iter(keys.items()))
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(key).encrypt(nonce, plain, _associated_data(context))
    return VERSION + key_id + nonce + box


@sensitive_variables()
def open_sealed(blob: bytes, *, context: tuple[str, ...]) -> str:
    """Open what `seal` made for the same `context`. Raises VaultError for anything else."""
    if len(blob) < HEADER_BYTES + TAG_BYTES or blob[:1] != VERSION:
        raise VaultError("The sealed secret is damaged or of an unknown version.")
    key_id, nonce = blob[1 : 1 + KEY_ID_BYTES], blob[1 + KEY_ID_BYTES : HEADER_BYTES]
    key = _keys().get(key_id)
    if key is None:
        raise VaultError("The key that sealed this secret is not in GRIDBOT_CREDENTIAL_KEYS.")
    try:
        return AESGCM(key).decrypt(nonce, blob[HEADER_BYTES:], _associated_data(context)).decode()
    except InvalidTag:
        raise VaultError("The sealed secret was altered or belongs to another row.") from None


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
def _keys() -> dict[bytes, bytes]:
    keys = (parse_key(text) for text in settings.GRIDBOT_CREDENTIAL_KEYS)
    return {hashlib.sha256(key).digest()[:KEY_ID_BYTES]: key for key in keys}


def _associated_data(context: tuple[str, ...]) -> bytes:
    # Each part with its length: two different contexts never read the same.
    return "".join(f"{len(part)}:{part}" for part in ("gridbot", VERSION.hex(), *context)).encode()
