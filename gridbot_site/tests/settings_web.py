"""The settings of production, with collected files in a folder of the test's."""

from __future__ import annotations

import os
from pathlib import Path

from gridbot_site.settings import *  # noqa: F403

STATIC_ROOT = Path(os.environ["COLLECTED"])
