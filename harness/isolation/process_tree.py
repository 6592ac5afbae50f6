"""Ends a process's descendants, and measures their memory.

On Linux no descendant is missed, since orphans can be adopted. On other systems a process that left its session and
whose parent has ended is not found.
"""

import contextlib
import ctypes
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LINUX = sys.platform == "linux"


def adopt_orphans() -> None:
    """Make descendants, daemons included, children of this process when their parents end (Linux)."""
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill all descendants of this process, and return when none is left.

    A process that the kernel cannot end, since it waits for a disk or a driver, blocks this.
    """
    this = psutil.Process()
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # none is left, since an orphan would be a child of this process
        for process in this.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        os.waitpid(-1, 0)  # the next round finds what was started meanwhile


def killed_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends (Linux)."""
    _signal_with(parent, signal.SIGKILL)


def exit_with(parent: int) -> None:
    """Raise SystemExit on SIGTERM and, on Linux, when the parent has ended, so that `finally` blocks run."""

    def leave(number: int, _: object) -> None:
        # The kernel also sends it when only the thread that started this process ends.
        if number == signal.SIGHUP and os.getppid() == parent:
            return
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)
    _signal_with(parent, signal.SIGHUP)


def _signal_with(parent: int, number: signal.Signals) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # the parent ended before the request
        os.kill(os.getpid(), number)


def taken_first() -> None:
    """If memory runs out, let the kernel kill this process and its descendants before any other (Linux)."""
    if LINUX:
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def memory_below(limit: float) -> int:
    """Measure the memory of this process's descendants in bytes: exact above the limit, an upper bound up to it.

    Pages of files do not count, since the kernel can drop them; swapped pages do. Forks share pages with this process
    and with each other. The plain sum counts shared pages several times; it is cheap and seldom reaches the limit. Only
    if it does, each page is divided by the number of its processes (the proportional set size), for which the kernel
    walks through all pages.
    """
    processes = psutil.Process().children(recursive=True)
    resident = [_resident(process) for process in processes]
    if sum(resident) <= limit:
        return sum(resident)
    return sum(min(pair) for pair in zip(resident, map(_proportional, processes), strict=True))


def _resident(process: psutil.Process) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text() if LINUX else ""
        if "RssAnon" not in status:  # not Linux, or an imitation of it
            return process.memory_info().rss
        return 1024 * sum(map(int, re.findall(r"^(?:RssAnon|RssShmem|VmSwap):\s*(\d+) kB$", status, re.MULTILINE)))
    except (psutil.Error, OSError):
        return 0  # it has ended


def _proportional(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
        return memory.pss + memory.swap if LINUX else memory.uss
    except psutil.NoSuchProcess:
        return 0
    except (psutil.Error, OSError, AttributeError):  # another user's process, or not supported
        return sys.maxsize


def machine_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory of this machine, or of this process's control group (version 1 or 2) if less."""
    return min([psutil.virtual_memory().total, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the group and its parents. In a container, the path may be the host's: skip missing files."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        for each in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                yield int((folder / each / name).read_text())
