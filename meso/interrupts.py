"""What Ctrl-C and TERM do: end a process that loads at once, and one that works in good order.

An exception in the middle of loading a library may end in the C++ of that library, which knows no
better than to abort. There is nothing to tidy up then: the signal may have its usual effect. Later
it raises an exception, so that partial files are removed.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any, NoReturn


class Terminated(SystemExit):
    """A signal says that it is time to end; in parallel this rank alone may have got it."""


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """Let signals end the process without a word."""
    _set(signal.SIG_DFL, signal.SIG_DFL)


def raise_exceptions() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, and TERM Terminated."""
    _set(signal.default_int_handler, _terminated)


def _set(*handlers: Any) -> None:
    with suppress(ValueError):  # not in the main thread
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            # What the caller ignores (nohup, a job in the background) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _terminated(number: int, frame: Any) -> NoReturn:
    raise Terminated(128 + number)
