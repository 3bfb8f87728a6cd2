"""`python -m gridbot_site.tests.isolation [--mutants]`: ask everything, and print how much it was."""

from __future__ import annotations

import os
import sys

import django


def main() -> int:
    """Ask in a database of its own, which is gone afterwards; 1 when something shows."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gridbot_site.settings_test"
    django.setup()
    from django.db import transaction
    from django.test.runner import DiscoverRunner

    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    try:
        with transaction.atomic():
            failed = _mutants() if "--mutants" in sys.argv[1:] else _all()
            transaction.set_rollback(True)
    finally:
        runner.teardown_databases(databases)
        runner.teardown_test_environment()
    return int(failed)


def _all() -> bool:
    from gridbot_site.tests.isolation import asking, campaign, commands, doors
    from gridbot_site.tests.isolation.models import set_the_scene
    from gridbot_site.tests.isolation.routes import routes

    scene = set_the_scene()
    browser = asking.Browser(scene)
    found = [wrong for route in routes() for wrong in asking.wrongs(route, scene, browser)[0]]
    found += commands.wrongs(scene)[0]
    shut, count = doors.wrongs(scene)
    _say(*found, *shut)
    _say(f"{campaign.size(scene)}; {count} querysets and permissions; {len(found + shut)} leaks.")
    return bool(found or shut)


def _mutants() -> bool:
    from gridbot_site.tests.isolation import campaign
    from gridbot_site.tests.isolation.filters import FILTERS, mutated
    from gridbot_site.tests.isolation.models import set_the_scene

    scene = set_the_scene()
    survived = 0
    for each in FILTERS:
        with mutated(each):
            found = campaign.killers(each.asked, scene)
        survived += not found
        verdict = f"killed by {each.asked}, {len(found)} answers" if found else "SURVIVED"
        _say(f"{each.where} without {each.words!r}: {verdict}")
    _say(f"{len(FILTERS)} mutants, {survived} survived.")
    return bool(survived)


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
