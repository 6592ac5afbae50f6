"""Handles Ctrl-C and SIGTERM: after one Ctrl-C, runs in progress finish; after two, or SIGTERM, all stop at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = b"\nStopping after the runs in progress, which will be saved. Press Ctrl-C again to stop at once.\n"


class Terminated(BaseException):
    """Raised on SIGTERM, which Slurm and spot machines send."""


def heed_sigterm() -> None:
    """Make SIGTERM raise Terminated from now on."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(*signal_and_frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the cleanup
    raise Terminated


@contextmanager
def gentle_signals() -> Iterator[Callable[[], bool]]:
    """Defer signals; yields a function that must be called from time to time.

    The function returns whether Ctrl-C was pressed. It raises KeyboardInterrupt after a second Ctrl-C, and Terminated
    after SIGTERM. (Raised by a handler, they would interrupt Ray's own code and appear as other errors.)
    """
    pressed, terminated = 0, False

    def handle_interrupt(*signal_and_frame: Any) -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, STOPPING)  # print may have been interrupted
        elif pressed > 2:  # `stopping` is not called
            raise KeyboardInterrupt

    def handle_termination(*signal_and_frame: Any) -> None:
        nonlocal terminated
        terminated = True

    def stopping() -> bool:
        if terminated:
            raise Terminated
        if pressed > 1:
            raise KeyboardInterrupt
        return bool(pressed)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only the main thread may handle signals
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, handle_termination)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # keep ignoring it if the parent did (nohup, a shell's &)
            before[signal.SIGINT] = signal.signal(signal.SIGINT, handle_interrupt)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
