"""A process and all that it starts: how they end, and the memory that they hold.

Ending them all is exact on Linux, where orphans can be adopted. Elsewhere a process that left its session and whose
parent has ended is not found again.
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
    """Processes below this one become its children when their parents end, daemons included (Linux)."""
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill the processes below this one until none is left.

    One that the kernel cannot end (it waits for a disk or a driver that does not answer) holds this up.
    """
    this = psutil.Process()
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # none is left: whatever had lost its parent would be a child of ours
        for process in this.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        os.waitpid(-1, 0)  # what was started meanwhile is seen in the next round


def killed_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends (Linux)."""
    _signal_with(parent, signal.SIGKILL)


def exit_with(parent: int) -> None:
    """Raise SystemExit when the parent has ended (Linux) and on SIGTERM: what stands in `finally` is done first."""

    def leave(number: int, _: object) -> None:
        # The kernel sends it as well when the thread that started us ends, while its process lives on.
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
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), number)


def taken_first() -> None:
    """Where memory runs out, the kernel takes this process and those below it before all others (Linux)."""
    if LINUX:
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def memory_below(limit: float) -> int:
    """Bytes that the processes below this one hold: exact above the limit, an upper bound up to it.

    Pages of files do not count: the kernel can drop them. What is swapped out does. Forks share pages, with this
    process and with each other: adding them up counts those several times, which is cheap and seldom reaches the
    limit. Only where it does, each page is divided by the number of its processes (the proportional set size), for
    which the kernel walks through all of them.
    """
    processes = psutil.Process().children(recursive=True)
    resident = [_resident(process) for process in processes]
    if sum(resident) <= limit:
        return sum(resident)
    return sum(min(pair) for pair in zip(resident, map(_proportional, processes), strict=True))


def _resident(process: psutil.Process) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text() if LINUX else ""
        if "RssAnon" not in status:  # another system, or something that imitates Linux
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
    except (psutil.Error, OSError, AttributeError):  # not ours to read (another user's program), or not to be had
        return sys.maxsize


def machine_memory(root: Path = Path("/")) -> int:
    """Bytes of memory of this machine, or of this process's control group (version 1 or 2) where that has less."""
    return min([psutil.virtual_memory().total, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    """Those of the group and of all above it. In a container the path may be the host's: what is there is read."""
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
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                yield int((folder / each / name).read_text())
