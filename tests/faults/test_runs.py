"""Runs that hang, crash, eat memory or leave processes behind: each fails alone, and no process is left of it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.errors import MachineFault
from forget512.harness.worker.fork_client import ChildFailed
from forget512.harness.worker.seeds import Seeds
from support.processes import gone, happens, lives, read_pids
from support.tiny import ServerFromOriginal

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans cannot be adopted")

# For a candidate's head. A daemon: its own session, deaf to signals, and its parent is gone.
TOOLS = """
import ctypes, multiprocessing, os, signal, subprocess, threading, time

def note(path):
    with open(path, 'a') as file:
        file.write(f'{os.getpid()}\\n')

def await_note(path):
    while not (os.path.exists(path) and open(path).read().endswith('\\n')):
        time.sleep(0.01)

def live_on(path):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    note(path)
    while True:
        time.sleep(1)

def start_daemon(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            live_on(path)
        os._exit(0)
    os.wait()
    await_note(path)
"""


@pytest.fixture
def run(server, candidate) -> Callable[..., None]:
    """run(body, timeout): a candidate's run. However it ends, nothing is left of it, and the same server does the
    next one."""

    def perform(body: str, timeout: float | None = None) -> None:
        algorithm, next_one = candidate(body, TOOLS), candidate("net.fc.bias.data.fill_(2)", name="next_one")
        try:
            server.run(algorithm, Seeds("bank", 0), timeout)
        finally:
            assert [process.pid for process in below(server)] == [fork_server(server)]
            state, *_ = server.run(next_one, Seeds("bank", 0))
            assert state["fc.bias"].eq(2).all()

    return perform


@pytest.fixture
def failure(run) -> Callable[..., ChildFailed]:
    def perform(body: str, timeout: float | None = None) -> ChildFailed:
        with pytest.raises(ChildFailed) as caught:
            run(body, timeout)
        assert "\n" not in str(caught.value)
        return caught.value

    return perform


def below(server: ServerFromOriginal) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def fork_server(server: ServerFromOriginal) -> int:
    """The process below the guard."""
    return psutil.Process(server.process.pid).children()[0].pid


# --- a run that hangs ---


@pytest.mark.parametrize(
    "body",
    [
        "while True: time.sleep(0.01)",
        "while True: pass",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(0.01)",
        "while True:\n    try: time.sleep(1)\n    except BaseException: pass",
        "signal.pause()",
        "time.sleep(1e6)",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nsignal.sigwait([signal.SIGUSR1])",
        "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "subprocess.run(['sleep', '1000'])",
    ],
)
def test_a_run_that_hangs_is_stopped_and_its_last_output_kept(failure, body):
    start = time.monotonic()
    found = failure(f"print('so far')\n{body}", timeout=0.3)
    assert str(found) == "it did not finish within 0.3 s"
    assert found.output == "so far\n" and found.traceback == ""
    assert time.monotonic() - start < 20


def test_a_run_that_hangs_with_all_that_it_started_is_stopped_whole(failure, tmp_path):
    path, other = tmp_path / "daemon", tmp_path / "worker"
    failure(
        f"start_daemon({str(path)!r})\n"
        f"worker = multiprocessing.get_context('fork').Process(target=live_on, args=({str(other)!r},))\n"
        "worker.start()\nworker.join()",
        timeout=1,
    )
    assert all(gone(pid) for each in (path, other) for pid in read_pids(each, 1))


def test_a_run_within_its_time_is_left_alone(run):
    run("time.sleep(0.3)", timeout=60)


def test_a_server_that_waits_for_a_run_does_next_to_nothing(server, candidate):
    """Its looks are seldom: the run has the core for itself."""
    process = psutil.Process(fork_server(server))
    before = process.cpu_times()
    server.run(candidate("import time; time.sleep(1)"), Seeds("bank", 0), 100)
    after = process.cpu_times()
    assert after.user + after.system - before.user - before.system < 0.1


# --- memory ---

EAT = """
held = []
while len(held) < 60:
    held.append(b'x' * 50_000_000)
    time.sleep(0.05)
raise ValueError('3 GB')
"""


def test_a_run_that_eats_memory_is_stopped_at_the_limit(server, failure, monkeypatch):
    monkeypatch.setattr(server, "memory", 800e6)
    found = failure(f"print('so far', flush=True)\n{EAT}")
    held, limit = (float(word) for word in str(found).split() if word[0].isdigit())
    assert str(found) == f"it used {held:.2f} GB of memory; the limit is 0.80 GB here"
    assert limit < held < 2.5 and found.output == "so far\n"


@linux
def test_what_a_run_shares_between_its_processes_counts_once(server, run, monkeypatch):
    """Five processes see the same 400 MB."""
    monkeypatch.setattr(server, "memory", 900e6)
    run("held = b'x' * 400_000_000\nchildren = [os.fork() for _ in range(2)]\ntime.sleep(1)")


@pytest.mark.slow
def test_what_a_runs_processes_hold_is_added_up(server, failure, monkeypatch):
    """None of the four holds more than a third of the limit of its own."""
    monkeypatch.setattr(server, "memory", 1.2e9)
    body = "for _ in range(3):\n    if os.fork() == 0: break\nheld = b'x' * 400_000_000\ntime.sleep(20)"
    assert "the limit is 1.20 GB here" in str(failure(body))


@linux
def test_where_memory_runs_out_the_kernel_takes_the_run_first(run, tmp_path):
    path = tmp_path / "adjustment"
    run(f"subprocess.run('cp /proc/self/oom_score_adj {path}', shell=True, check=True)")
    assert path.read_text() == "1000\n" and Path("/proc/self/oom_score_adj").read_text() != "1000\n"


@linux
def test_a_run_that_the_kernel_takes_for_its_memory_is_the_machines_fault(run, small_group):
    limit, processes = small_group
    assert limit < 3e9
    with pytest.raises(MachineFault, match="its process was killed by SIGKILL from outside"):
        run(f"open({str(processes)!r}, 'w').write(str(os.getpid()))\n{EAT}")


# --- whose fault it is ---


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("ctypes.string_at(0)", "its process was killed by SIGSEGV"),
        ("os.abort()", "its process was killed by SIGABRT"),
        ("os._exit(0)", "it ended its process (exit status 0) instead of returning a network"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise OSError('no such file')", "OSError: no such file"),
    ],
)
def test_a_candidate_that_ends_itself_has_failed_and_its_daemon_ends_too(failure, tmp_path, body, what):
    path = tmp_path / "daemon"
    assert str(failure(f"start_daemon({str(path)!r})\n{body}")).startswith(what)
    assert gone(*read_pids(path, 1))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_from_outside_is_the_machines_fault(server, candidate, tmp_path, number):
    daemon, run = (str(tmp_path / name) for name in ("daemon", "run"))
    algorithm = candidate(f"start_daemon({daemon!r})\nnote({run!r})\ntime.sleep(60)", TOOLS)
    ending = beside(lambda: os.kill(read_pids(tmp_path / "run", 1)[0], number))
    with ending, pytest.raises(MachineFault, match=f"killed by {number.name} from outside"):
        server.run(algorithm, Seeds("bank", 0))
    assert gone(*read_pids(tmp_path / "daemon", 1)) and server.alive()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raise MemoryError", "MemoryError (idea.py, line "),
        ("x = bytearray(1 << 60)", "MemoryError (idea.py, line "),
        ("import torch\ntorch.empty(1 << 60, dtype=torch.uint8)", "can't allocate memory"),
        ("import torch\nraise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')", "CUDA out of"),
    ],
)
def test_memory_that_runs_out_inside_a_candidate_is_the_machines_fault(run, body, what):
    with pytest.raises(MachineFault) as caught:
        run(body)
    assert what in str(caught.value) and "\n" not in str(caught.value)


# --- a disk that takes no more ---


@linux
@pytest.mark.parametrize(
    ("longest", "body", "what"),
    [
        (0, "pass", "its run could not write to .*: the disk is full or broken"),
        (4000, "pass", "File too large"),  # its result
        (1_000_000, "import helper", "File too large"),  # its sources
        (1_000_000, "while True: print('x' * 79)", r"File too large \(idea.py, line "),
        (
            1_000_000,
            "with open({path!r}, 'wb') as file: file.write(bytes(1_100_000))",
            r"File too large \(idea.py, line ",
        ),
    ],
)
def test_a_disk_that_takes_no_more_is_the_machines_fault(server, candidate, original, tmp_path, longest, body, what):
    """No file that the run writes can be longer."""
    assert 5000 < len(original) < 900_000
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "helper.py").write_text("#" * 1_100_000)
    algorithm, next_one = candidate(body.format(path=str(tmp_path / "file"))), candidate(name="next_one")
    process = fork_server(server)
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (longest, before[1]))
    try:
        with pytest.raises(MachineFault, match=what):
            server.run(algorithm, Seeds("bank", 0))
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    server.run(next_one, Seeds("bank", 0))


@pytest.fixture
def small_disk(tmp_path, monkeypatch) -> Iterator[Path]:
    """A file system of 1 MiB and eight files, for the folders of runs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=8", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@linux
@pytest.mark.parametrize("full", ["of bytes", "of files"])
def test_a_full_disk_is_the_machines_fault(server, candidate, small_disk, full):
    if full == "of bytes":
        with pytest.raises(OSError, match="No space"):
            (small_disk / "large").write_bytes(bytes(1025 << 10))
    else:
        with pytest.raises(OSError, match="No space"):
            for i in range(8):
                (small_disk / str(i)).touch()
        (small_disk / "0").unlink()  # one more, which is the run's folder
    with pytest.raises(MachineFault, match=f"its run could not write to {small_disk}: the disk is full"):
        server.run(candidate(), Seeds("bank", 0))
    assert server.alive()
    for file in small_disk.iterdir():
        file.unlink()
    server.run(candidate(name="next_one"), Seeds("bank", 0))


# --- what a run leaves behind ---


@pytest.mark.parametrize(
    "body",
    [
        "process = subprocess.Popen(['sleep', '1000'])\nopen({path!r}, 'w').write(f'{{process.pid}}\\n')",
        "process = subprocess.Popen(['setsid', 'sleep', '1000'])\nopen({path!r}, 'w').write(f'{{process.pid}}\\n')",
        "subprocess.run('nohup sleep 1000 & echo $! > {path}', shell=True)",
        "subprocess.run(['setsid', 'sh', '-c', '(sleep 1000 & echo $! > {path}) &'])\nawait_note({path!r})",
        "if os.fork() == 0: live_on({path!r})\nawait_note({path!r})",
        pytest.param("start_daemon({path!r})", marks=linux),
        "multiprocessing.get_context('fork').Process(target=live_on, args=({path!r},)).start()\nawait_note({path!r})",
        "pool = multiprocessing.get_context('fork').Pool(2)\npool.map(note, [{path!r}] * 2)",
        "from torch.utils.data import DataLoader\n"
        "loader = DataLoader(retain.dataset, 4, num_workers=2, persistent_workers=True,\n"
        "                    worker_init_fn=lambda _: note({path!r}))\nnext(iter(loader))",
        "threading.Thread(target=lambda: (note({path!r}), time.sleep(1000))).start()\nawait_note({path!r})",
    ],
)
def test_a_good_run_counts_and_what_it_left_behind_is_ended(run, tmp_path, body):
    path = tmp_path / "pids"
    run(body.format(path=str(path)))
    assert all(gone(pid, within=1) for pid in read_pids(path, 1))


@linux
def test_processes_that_start_each_other_anew_are_ended(run, tmp_path):
    """Each of the two forks another one when its partner dies."""
    path = tmp_path / "pids"
    body = f"""
def watch_over(other):
    os.setsid()
    while True:
        note({str(path)!r})
        while os.path.exists(f'/proc/{{other}}'): time.sleep(0.001)
        me = os.getpid()
        other = os.fork()
        if other == 0: other = me
if os.fork() == 0: watch_over(os.getppid())
await_note({str(path)!r})
"""
    run(body)
    assert all(gone(pid, within=1) for pid in read_pids(path, 1))


# --- when actor, guard or server end ---


@contextlib.contextmanager
def beside(what: Callable[[], object]) -> Iterator[int]:
    """Another process that does something, and is ended with the block. Its id."""
    process = os.fork()
    if process == 0:
        with contextlib.suppress(BaseException):
            what()
        os._exit(0)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


@pytest.fixture
def lasting(candidate, tmp_path) -> tuple[Algorithm, Callable[[], list[int]]]:
    """A run with a daemon that lasts; and once both go on, their ids: guard, server, run, daemon."""
    daemon, path = tmp_path / "daemon", tmp_path / "run"
    body = f"start_daemon({str(daemon)!r})\nnote({str(path)!r})\ntime.sleep(1000)"

    def pids() -> list[int]:
        (run,) = read_pids(path, 1)
        server = psutil.Process(run).parent()
        return [server.parent().pid, server.pid, run, *read_pids(daemon, 1)]

    return candidate(body, TOOLS), pids


def test_closing_the_server_ends_its_run_and_all_that_it_started(training, original, lasting):
    algorithm, pids = lasting
    server = ServerFromOriginal(training, original, "cpu")
    with beside(lambda: server.run(algorithm, Seeds("bank", 0))):
        found = pids()
        server.close()
    assert not server.alive() and not any(map(lives, found))
    with pytest.raises(MachineFault, match="the process that starts its runs died"):
        server.run(algorithm, Seeds("bank", 1))


@linux
@pytest.mark.parametrize(
    "stopped",
    [pytest.param(False, id="alone"), pytest.param(True, id="while its server is stopped", marks=pytest.mark.slow)],
)
def test_a_killed_actor_leaves_nothing_behind(training, original, lasting, stopped):
    """A stopped server notices nothing: the guard does."""
    algorithm, pids = lasting
    with beside(lambda: ServerFromOriginal(training, original, "cpu").run(algorithm, Seeds("bank", 0))):
        found = pids()
        files = [Path(file.path) for file in psutil.Process(found[2]).open_files()]
        folders = {file.parent for file in files if file.parent.name.startswith("forget512-")}
        assert folders and all(map(Path.exists, folders))
        if stopped:
            os.kill(found[1], signal.SIGSTOP)
    assert all(map(gone, found))
    assert stopped or happens(lambda: not any(map(Path.exists, folders)))


@linux
@pytest.mark.parametrize("which", [pytest.param(0, id="guard"), pytest.param(1, id="server", marks=pytest.mark.slow)])
def test_a_killed_guard_or_server_leaves_nothing_behind_and_is_the_machines_fault(
    training, original, lasting, tmp_path, which
):
    """Ray kills an actor's children, and so the guard, when it ends the actor."""
    algorithm, pids = lasting
    server = ServerFromOriginal(training, original, "cpu")
    killing = beside(lambda: os.kill(pids()[which], signal.SIGKILL))
    with killing, pytest.raises(MachineFault, match=r"the process that starts its runs died \(killed by SIGKILL\)"):
        server.run(algorithm, Seeds("bank", 0))
    assert not server.alive()
    assert all(gone(*read_pids(tmp_path / name, 1)) for name in ("daemon", "run"))
