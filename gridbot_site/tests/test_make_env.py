"""Writing `.env`."""

from __future__ import annotations

import base64
import shutil
import stat
from pathlib import Path

import pytest

import gridbot_site
from gridbot_site.make_env import main, write_env

EXAMPLE = Path(gridbot_site.__file__).parent.parent / ".env.example"


@pytest.fixture
def target(tmp_path):
    return tmp_path / ".env"


def values(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def test_secrets_are_filled_in_and_the_rest_is_kept(target):
    assert write_env(EXAMPLE, target)
    written, example = values(target), values(EXAMPLE)
    assert written.keys() == example.keys()
    changed = {name for name in written if written[name] != example[name]}
    assert changed == {"SECRET_KEY", "GRIDBOT_CREDENTIAL_KEYS"}
    assert len(written["SECRET_KEY"]) >= 50
    assert len(base64.urlsafe_b64decode(written["GRIDBOT_CREDENTIAL_KEYS"])) == 32


def test_only_the_owner_may_read_it(target):
    write_env(EXAMPLE, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_never_touched(target):
    target.write_text("mine", encoding="utf-8")
    assert not write_env(EXAMPLE, target)
    assert target.read_text(encoding="utf-8") == "mine"


def test_a_link_that_leads_nowhere_is_not_followed(target, tmp_path):
    target.symlink_to(tmp_path / "elsewhere")
    assert not write_env(EXAMPLE, target)
    assert not (tmp_path / "elsewhere").exists()


def test_secrets_are_fresh_each_time(target, tmp_path):
    other = tmp_path / "other"
    for path in (target, other):
        write_env(EXAMPLE, path)
    hers, his = values(target), values(other)
    assert not {hers[name] for name in ("SECRET_KEY", "GRIDBOT_CREDENTIAL_KEYS")} & set(
        his.values()
    )


def test_the_command_says_what_it_did(tmp_path, capsys):
    shutil.copy(EXAMPLE, tmp_path / ".env.example")
    main(tmp_path)
    main(tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert said == ["Wrote .env with fresh secrets.", ".env is there already: left as it is."]
