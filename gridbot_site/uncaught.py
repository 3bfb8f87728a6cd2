"""What nobody catches goes the way of all lines: one each, and without secrets.

Python's own way is to write it to stderr as it is, with whatever a text of an error repeats.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

from marketdata.log_events import UNCAUGHT

logger = logging.getLogger(__name__)


def log_what_nobody_catches() -> None:
    """Log errors that end the program, a thread, or an object, and warnings.

    Who listens to them already, as a test runner does, is left alone.
    """
    logging.captureWarnings(True)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _of_program
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _of_object


def _of_program(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        UNCAUGHT.log_error(logger, error, "the program ends: %s", kind.__name__)


def _of_thread(what: threading.ExceptHookArgs) -> None:
    if what.exc_value is not None and not isinstance(what.exc_value, SystemExit):
        name = what.thread.name if what.thread else "unknown"
        text, kind = "thread %s ends: %s", what.exc_type.__name__
        UNCAUGHT.log_error(logger, what.exc_value, text, name, kind, thread=name)


def _of_object(what: sys.UnraisableHookArgs) -> None:
    if what.exc_value is not None:
        text = what.err_msg or "an error that cannot be raised"
        UNCAUGHT.log_error(logger, what.exc_value, "%s: %s", text, what.exc_type.__name__)
