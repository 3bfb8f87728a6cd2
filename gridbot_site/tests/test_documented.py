"""The documents about deployment and security, taken at their word."""

from __future__ import annotations

import getpass
import json
import re
import shlex
from pathlib import Path

import gridbot_site
from docs.try_install import PAGE, commands
from gridbot_site import make_env
from gridbot_site.tests.test_settings import run

ROOT = Path(gridbot_site.__file__).parent.parent
LOOK = """
import json, django
from django.conf import settings
from django.core.management import call_command
django.setup()
call_command("check", deploy=True, fail_level="WARNING")
names = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE",
         "SESSION_COOKIE_HTTPONLY", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS",
         "GRIDBOT_REQUIRE_OTP", "SECURE_PROXY_SSL_HEADER", "SESSION_COOKIE_PATH",
         "SESSION_COOKIE_DOMAIN", "AXES_ENABLED")
print(json.dumps({name: getattr(settings, name) for name in names}))
"""


def test_the_documented_production_settings_pass_every_check(tmp_path):
    typed = [line for line in commands(PAGE.read_text(encoding="utf-8")) if "make_env" in line]
    [line] = [shlex.split(line) for line in typed]
    assert line[1:5] == ["-m", "gridbot_site.make_env", "--system", "/etc/gridbot"]
    arguments = [getpass.getuser() if each == "gridbot" else each for each in line[5:]]
    make_env.main(["--system", str(tmp_path), *arguments], root=ROOT)
    done = run(
        *("-W", "error", "-c", LOOK),
        DJANGO_SETTINGS_MODULE="gridbot_site.settings",
        GRIDBOT_ENV_FILE=str(tmp_path / "gridbot.env"),
        GRIDBOT_CREDENTIAL_KEYS_FILE=str(tmp_path / "credential-keys"),
        SECRET_KEY=None,
        GRIDBOT_CREDENTIAL_KEYS=None,
        DATABASE_URL=None,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "GRIDBOT_REQUIRE_OTP": True,
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_DOMAIN": None,
        "AXES_ENABLED": True,
    }


def test_every_check_is_explained():
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+\.[EW]\d+)`", page, re.MULTILINE)
    sources = [ROOT / app / "checks.py" for app in ("accounts", "gridbot_site")]
    code = "".join(source.read_text(encoding="utf-8") for source in sources)
    assert sorted(explained) == sorted(set(re.findall(r'"((?:accounts|gridbot)\.[EW]\d+)"', code)))
