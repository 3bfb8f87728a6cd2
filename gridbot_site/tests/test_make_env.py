"""Writing `.env`."""

from __future__ import annotations

import base64
import getpass
import shutil
import stat
from pathlib import Path

import pytest

import gridbot_site
from gridbot_site.make_env import main

EXAMPLE = Path(gridbot_site.__file__).parent.parent / ".env.example"
ME = getpass.getuser()


@pytest.fixture
def root(tmp_path):
    """A checkout without settings."""
    root = tmp_path / "checkout"
    root.mkdir()
    shutil.copy(EXAMPLE, root / ".env.example")
    return root


@pytest.fixture
def target(root):
    return root / ".env"


def values(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def test_secrets_are_filled_in_and_the_rest_is_kept(root, target):
    main([], root=root)
    written, example = values(target), values(EXAMPLE)
    assert written.keys() == example.keys()
    changed = {name for name in written if written[name] != example[name]}
    assert changed == {"SECRET_KEY", "GRIDBOT_CREDENTIAL_KEYS"}
    assert len(written["SECRET_KEY"]) >= 50
    assert len(base64.urlsafe_b64decode(written["GRIDBOT_CREDENTIAL_KEYS"])) == 32


def test_only_the_owner_may_read_it(root, target):
    main([], root=root)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_never_touched(root, target, capsys):
    target.write_text("mine", encoding="utf-8")
    main([], root=root)
    assert target.read_text(encoding="utf-8") == "mine"
    assert capsys.readouterr().out == ".env is there already: left as it is.\n"


def test_a_link_that_leads_nowhere_is_not_followed(root, target, tmp_path):
    target.symlink_to(tmp_path / "elsewhere")
    main([], root=root)
    assert not (tmp_path / "elsewhere").exists()


def test_secrets_are_fresh_each_time(root, target):
    drawn = []
    for _ in range(2):
        main([], root=root)
        drawn += [values(target)[name] for name in ("SECRET_KEY", "GRIDBOT_CREDENTIAL_KEYS")]
        target.unlink()
    assert len(set(drawn)) == 4


def test_settings_are_written_in_their_places(root, target, capsys):
    main(["GRIDBOT_PROXIES=1", "DATABASE_URL=postgresql:///gridbot?host=/run"], root=root)
    written = target.read_text(encoding="utf-8").splitlines()
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert len(written) == len(lines)
    assert written[lines.index("GRIDBOT_PROXIES=0")] == "GRIDBOT_PROXIES=1"
    database = "DATABASE_URL=postgresql:///gridbot?host=/run"
    assert written[lines.index("#DATABASE_URL=")] == database
    assert capsys.readouterr().out == "Wrote .env with fresh secrets.\n"


def test_services_have_their_keys_in_a_file_apart(root, tmp_path, capsys):
    main(["--system", str(tmp_path), "--user", ME, "GRIDBOT_PROXIES=1"], root=root)
    settings, keys = tmp_path / "gridbot.env", tmp_path / "credential-keys"
    assert values(settings)["GRIDBOT_CREDENTIAL_KEYS"] == ""
    assert values(settings)["GRIDBOT_PROXIES"] == "1"
    assert len(base64.urlsafe_b64decode(keys.read_text(encoding="utf-8"))) == 32
    assert {stat.S_IMODE(path.stat().st_mode) for path in (settings, keys)} == {0o600}
    assert capsys.readouterr().out.splitlines() == [
        f"Wrote {keys} with a fresh key.",
        f"Wrote {settings} with fresh secrets.",
    ]
    kept = settings.read_bytes(), keys.read_bytes()
    main(["--system", str(tmp_path), "--user", ME], root=root)
    assert (settings.read_bytes(), keys.read_bytes()) == kept
    assert not (root / ".env").exists()


def test_keys_that_services_are_given_lie_in_their_file_alone(root, tmp_path):
    main(["--system", str(tmp_path), "GRIDBOT_CREDENTIAL_KEYS=new,old"], root=root)
    assert (tmp_path / "credential-keys").read_text(encoding="utf-8") == "new\nold\n"
    assert values(tmp_path / "gridbot.env")["GRIDBOT_CREDENTIAL_KEYS"] == ""


@pytest.mark.parametrize(
    "wrong",
    [
        ["GRIDBOT_PROXY=1"],
        ["GRIDBOT_PROXIES"],
        ["--user", "nobody-of-that-name"],
        ["GRIDBOT_DB_PASSWORD=one\ntwo"],
    ],
)
def test_what_is_no_setting_writes_nothing(wrong, root, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["--system", str(tmp_path), *wrong], root=root)
    assert ended.value.code == 2
    assert [each.name for each in tmp_path.iterdir()] == ["checkout"]
