"""How processes end with those that started them, and what memory is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from forget512.harness.isolation.process_tree import machine_memory
from support.processes import gone, happens, lives

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is tested here is Linux's")

HEAD = "import os, sys, time; from forget512.harness.isolation.process_tree import *\n"


def start(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def said(code: str, *arguments: object) -> int:
    return int(start(code, *arguments).communicate(timeout=60)[0])


WAIT = """
exit_with(int(sys.argv[1]))
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("done", flush=True)
"""


def test_a_process_outlives_the_thread_that_started_it():
    found = []
    thread = threading.Thread(target=lambda: found.append(start(WAIT, os.getpid())))
    thread.start()
    thread.join()
    (process,) = found
    assert process.stdout.readline() == "ready\n"
    # The kernel has sent its signal by then, or, where the thread was faster than its child, never will: ours is the
    # same one.
    process.send_signal(signal.SIGHUP)
    assert not happens(lambda: not lives(process.pid), within=0.5)
    process.terminate()
    assert process.communicate(timeout=20)[0] == "done\n" and process.returncode == 128 + signal.SIGTERM


def test_a_process_ends_in_order_when_the_one_that_started_it_is_killed():
    middle = start(f"import subprocess; subprocess.run([sys.executable, '-c', {HEAD + WAIT!r}, str(os.getpid())])")
    assert middle.stdout.readline() == "ready\n"
    middle.kill()
    assert middle.stdout.read() == "done\n"
    middle.wait()


def test_a_process_whose_parent_was_gone_before_it_asked_ends_as_well():
    process = start(WAIT, 1)
    assert process.communicate(timeout=20)[0] == "" and process.returncode == 128 + signal.SIGHUP


def test_all_descendants_end_and_other_children_of_the_parent_do_not():
    bystander = subprocess.Popen(["sleep", "100"])
    code = """
import subprocess
adopt_orphans()
subprocess.run(["setsid", "sh", "-c", "sleep 100 & (sleep 100 & sleep 100) & exit"])
for _ in range(20):
    if os.fork() == 0:
        os.fork()
        time.sleep(100)
time.sleep(0.2)
found = [p.pid for p in psutil.Process().children(recursive=True)]
end_descendants()
assert len(found) >= 43 and not any(map(psutil.pid_exists, found)) and not psutil.Process().children(), found
print(len(found))
"""
    assert said(code) >= 43
    assert lives(bystander.pid)
    bystander.kill()
    bystander.wait()
    assert gone(bystander.pid)


# /var/tmp: /tmp may lie in memory.
MEMORY = """
import mmap, tempfile
kind, limit = sys.argv[1], float(sys.argv[2])
shared = b"x" * 100_000_000  # of the parent's
ready = os.pipe()
if os.fork() == 0:
    if kind == "own": held = b"x" * 200_000_000
    if kind == "shared": held = mmap.mmap(-1, 200_000_000); held.write(b"x" * 200_000_000)
    if kind == "forked": held = b"x" * 200_000_000; os.fork()
    if kind == "file":
        file = tempfile.TemporaryFile(dir=sys.argv[3]); file.truncate(200_000_000)
        held = mmap.mmap(file.fileno(), 200_000_000); held.seek(0)
        for page in range(0, 200_000_000, 4096): held[page]
    os.write(ready[1], b"x")
    time.sleep(60)
os.read(ready[0], 2 if kind == "forked" else 1)
time.sleep(0.3)
print(memory_below(limit))
end_descendants()
for process in psutil.Process().children(recursive=True): process.kill()
"""


def test_a_processs_own_memory_counts():
    assert 200e6 < said(MEMORY, "own", 0) < 290e6  # and half of what it shares with its parent


def test_memory_that_processes_share_on_purpose_counts():
    assert 200e6 < said(MEMORY, "shared", 0) < 490e6


def test_memory_that_forks_share_counts_once():
    assert 200e6 < said(MEMORY, "forked", 0) < 330e6


def test_below_the_limit_an_upper_bound_does():
    assert 600e6 < said(MEMORY, "forked", 1e9) < 800e6


def test_pages_of_files_do_not_count():
    assert said(MEMORY, "file", 0, "/var/tmp") < 150e6  # what it shares with its parent, and not the file's 200 MB


def test_the_machines_memory_is_the_limit_where_there_is_no_group(tmp_path):
    assert machine_memory(tmp_path) == psutil.virtual_memory().total
    assert 0 < machine_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/job/step\n", {"job/memory.max": 7_000_000, "job/step/memory.max": "max"}),
        ("0::/job/step\n", {"job/memory.max": "max", "job/step/memory.max": 7_000_000, "memory.max": 9_000_000}),
        ("0::/\n", {"memory.max": 7_000_000}),
        ("0::/the/hosts/path\n", {"memory.max": 7_000_000}),
        ("5:cpu,memory:/job\n3:pids:/\n0::/\n", {"memory/job/memory.limit_in_bytes": 7_000_000}),
        (
            "5:memory:/docker/1f2e\n",
            {"memory/memory.limit_in_bytes": 7_000_000},
        ),
        (
            "4:memory:/a:b\n",
            {"memory/a:b/memory.limit_in_bytes": 7_000_000, "memory/memory.limit_in_bytes": 9223372036854771712},
        ),
    ],
)
def test_the_smallest_limit_of_a_control_group_and_those_above_it_counts(tmp_path, group, limits):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group)
    for name, limit in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    assert machine_memory(tmp_path) == 7_000_000


def test_a_process_in_a_control_group_has_the_groups_memory(small_group):
    limit, processes = small_group
    code = "open(sys.argv[1], 'w').write(str(os.getpid())); print(machine_memory())"
    assert said(code, processes) == limit
