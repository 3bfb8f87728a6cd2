"""Photograph the admin for the documents, in a real browser and on a database made for it.

    python -m docs.make_screenshots [NAME ...]

writes docs/pictures/NAME.png for each scene, or for those that are named. It needs playwright
(requirements-dev.txt) and Chromium. A scene is a function that is decorated with `scene`: it is
given a tab of a fresh profile on the running site, makes the rows that it shows, and leaves the
tab on what is to be seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridbot_site.tests.browser import Tab

PICTURES = Path(__file__).parent / "pictures"
Scene = Callable[["Tab"], None]
SCENES: dict[str, Scene] = {}


def scene(draw: Scene) -> Scene:
    """Take `draw` among the scenes, under its name."""
    SCENES[draw.__name__.replace("_", "-")] = draw
    return draw


@scene
def sign_in(tab: Tab) -> None:
    """The second page of the sign-in: the code."""
    from django.test import override_settings

    from accounts.tests.factories import PASSWORD, UserFactory
    from gridbot_site.second_factor import new_recovery_codes
    from gridbot_site.tests.signing_in import device_of

    olivia = UserFactory.create(username="olivia", is_staff=True, is_superuser=True)
    device_of(olivia)
    new_recovery_codes(olivia)
    with override_settings(GRIDBOT_REQUIRE_OTP=True):
        tab.go("/admin/")
        tab.fill_in(username="olivia", password=PASSWORD)
        tab.submit()
    tab.page.fill("[name=otp_token]", "123 456")


def main(names: list[str]) -> int:
    """Photograph the scenes; exit code 2 for a name that is none."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gridbot_site.settings_test"
    # playwright has an event loop in this thread, and Django would not touch the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    import django

    django.setup()
    from gridbot_site.tests.browser import missing, open_tab, running_browser

    if reason := missing() or ", ".join(f"no scene {n}" for n in names if n not in SCENES):
        sys.stderr.write(f"{reason}\n")
        return 2
    with running_browser() as browser:
        for name in names or SCENES:
            with running_site() as url, open_tab(browser, url) as tab:
                SCENES[name](tab)
                tab.page.screenshot(path=PICTURES / f"{name}.png")
                sys.stdout.write(f"docs/pictures/{name}.png\n")
    return 0


@contextmanager
def running_site() -> Iterator[str]:
    """The site on a free port, on an empty database; its address."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.db import connection
    from django.test.testcases import LiveServerThread

    original = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    server = LiveServerThread("127.0.0.1", StaticFilesHandler)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    try:
        if server.error:
            raise server.error
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.terminate()
        connection.creation.destroy_test_db(original, verbosity=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
