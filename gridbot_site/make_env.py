"""Write `.env` from `.env.example` with fresh secrets: `python -m gridbot_site.make_env`.

An existing `.env` is never touched.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path


def fresh_secrets() -> dict[str, str]:
    """The settings without which nothing starts, at random."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "GRIDBOT_CREDENTIAL_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def write_env(example: Path, target: Path) -> bool:
    """Write `target` with mode 0600; False when it exists already."""
    fresh = {f"{name}=": value for name, value in fresh_secrets().items()}
    lines = [
        line + fresh.get(line, "") for line in example.read_text(encoding="utf-8").splitlines()
    ]
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return True


def main(root: Path) -> None:
    """Write the file and say so."""
    made = write_env(root / ".env.example", root / ".env")
    sys.stdout.write(
        "Wrote .env with fresh secrets.\n" if made else ".env is there already: left as it is.\n"
    )


if __name__ == "__main__":
    main(Path(__file__).resolve().parent.parent)
