"""Checks whether processes have ended, for tests of what users' code leaves behind."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def gone(pid: int, within: float = 20.0) -> bool:
    """Return whether the process ends; a zombie counts as ended."""
    return happens(lambda: not lives(pid), within)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def happens(what: Callable[[], object], within: float = 20.0) -> bool:
    deadline = time.monotonic() + within
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def read_pids(path: Path, count: int) -> list[int]:
    """Wait for this many numbers, one per line, that processes write to a file."""
    assert happens(lambda: path.exists() and path.read_text().count("\n") >= count), f"{path} has not {count} lines"
    return [int(line) for line in path.read_text().split()]
