"""Ctrl-C and SIGTERM. Ctrl-C once: runs in progress are finished. Twice, or SIGTERM: everything stops at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = b"\nStopping: runs in progress are finished and saved, no others are started. Ctrl-C again stops at once.\n"


class Terminated(BaseException):
    """SIGTERM came, as Slurm and spot machines send it."""


def heed_sigterm() -> None:
    """From now on SIGTERM raises Terminated."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(*signal_and_frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the cleanup
    raise Terminated


@contextmanager
def gentle_signals() -> Iterator[Callable[[], bool]]:
    """Within it signals interrupt nothing; the function that it yields has to be called now and then.

    It returns whether Ctrl-C was pressed, and raises KeyboardInterrupt once it was pressed again, Terminated after
    SIGTERM. (Raised from a handler, they would come out of the middle of Ray's own code, as errors of another kind.)
    """
    pressed, terminated = 0, False

    def handle_interrupt(*signal_and_frame: Any) -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, STOPPING)  # print may have been interrupted
        elif pressed > 2:  # nobody calls `stopping`
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
    if threading.current_thread() is threading.main_thread():  # no other may take signals
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, handle_termination)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # who ignores it (nohup, a shell's &) wants to go on
            before[signal.SIGINT] = signal.signal(signal.SIGINT, handle_interrupt)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
