"""Write the file of settings from `.env.example`, with fresh secrets.

  python -m gridbot_site.make_env                            .env beside manage.py
  python -m gridbot_site.make_env GRIDBOT_PROXIES=1          with this setting
  python -m gridbot_site.make_env --system /etc/gridbot --user gridbot

The last is for services: /etc/gridbot/gridbot.env is the user's alone, and the keys that seal
exchange secrets lie in /etc/gridbot/credential-keys, which systemd hands to the services
(LoadCredential=). What is there already is never touched. docs/configuration.md explains the
settings.
"""

from __future__ import annotations

import argparse
import base64
import os
import pwd
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

KEYS = "GRIDBOT_CREDENTIAL_KEYS"


def fresh_secrets() -> dict[str, str]:
    """The settings without which nothing starts, at random."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        KEYS: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def with_values(example: str, values: Mapping[str, str]) -> str:
    """The text of `.env.example` with `values` in the place of its own.

    Raises KeyError with the names that it does not explain.
    """
    left = dict(values)
    lines = []
    for line in example.splitlines():
        name = line.removeprefix("#").partition("=")[0]
        lines.append(f"{name}={left.pop(name)}" if name in left else line)
    if left:
        raise KeyError(", ".join(left))
    return "\n".join(lines) + "\n"


def write_private(target: Path, text: str, *, owner: int = -1) -> bool:
    """Write `target` with mode 0600, as the user's with this number; False when it exists."""
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchown(handle, owner, -1)
    return True


def main(arguments: list[str] | None = None, *, root: Path | None = None) -> None:
    """Write the files and say so."""
    example = (root or Path(__file__).resolve().parent.parent) / ".env.example"
    parser = argparse.ArgumentParser(
        prog="python -m gridbot_site.make_env",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="a setting")
    parser.add_argument("--system", type=Path, metavar="DIR", help="for services: the folder")
    parser.add_argument(
        "--user", type=_number_of, default=-1, help="with --system: whose the settings are"
    )
    given = parser.parse_args(arguments)
    if not all("=" in each for each in given.settings):
        parser.error("a setting is written NAME=VALUE")
    if any(each.splitlines() != [each] for each in given.settings):
        parser.error("a setting is one line")
    values = fresh_secrets() | dict(each.split("=", 1) for each in given.settings)
    # Given twice, in both files, they would be refused.
    keys_given = values.pop(KEYS) if given.system else ""
    try:
        text = with_values(example.read_text(encoding="utf-8"), values)
    except KeyError as unknown:
        parser.error(f"no such setting: {unknown.args[0]}")
    if given.system:
        keys = given.system / "credential-keys"
        _tell(
            str(keys), write_private(keys, "\n".join([*keys_given.split(","), ""])), "a fresh key"
        )
    target = given.system / "gridbot.env" if given.system else example.with_name(".env")
    made = write_private(target, text, owner=given.user)
    _tell(str(target) if given.system else target.name, made, "fresh secrets")


def _number_of(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"there is no user {user!r} here") from None


def _tell(target: str, made: bool, what: str) -> None:
    sys.stdout.write(
        f"Wrote {target} with {what}.\n" if made else f"{target} is there already: left as it is.\n"
    )


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
