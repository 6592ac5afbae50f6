"""Ctrl-C and SIGTERM. Once Ctrl-C: what runs is finished. Twice, or SIGTERM: everything stops at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SAID = b"\nStopping: what runs is finished and kept, nothing more is begun. Ctrl-C again stops at once.\n"


class Terminated(BaseException):
    """SIGTERM came, as Slurm and spot machines send it."""


def heed_sigterm() -> None:
    """From now on SIGTERM raises Terminated."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(*signal_and_frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the clearing up
    raise Terminated


@contextmanager
def gentle_interrupt() -> Iterator[Callable[[], bool]]:
    """Within it, whether Ctrl-C was pressed; pressed again it raises KeyboardInterrupt, as it does everywhere else."""
    pressed = threading.Event()

    def handle(*signal_and_frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, SAID)  # print may have been interrupted

    # Only the main thread may take signals, and who ignores Ctrl-C (nohup, a shell's &) wants to go on.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
