"""The store: a name that can be seen holds the whole of what was put first."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from forget512.harness.errors import UserError
from forget512.harness.exchange.arrays import read_side
from forget512.harness.store.backends.contract import StoreUnavailable
from forget512.harness.store.backends.folder import TEMPORARY, Folder
from forget512.harness.store.backends.opening import open_store

ROOT = Path(__file__).resolve().parents[3]


def python(code: str, *arguments: object, before: Sequence[str] = ()) -> subprocess.Popen:
    """A process that runs code with the harness importable. before: the command that runs it."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=["disk", "s3"])
def where(request, tmp_path):
    """A new store's folder or URL."""
    if request.param == "disk":
        return str(tmp_path / "store")
    return f"s3://{request.getfixturevalue('bucket')}/some/where"


@pytest.fixture
def either(where):
    """A store of each kind: what holds for one holds for the other."""
    return open_store(where)


def test_what_was_put_is_got_back(either):
    assert either.put_if_absent("a/b/c", b"\0bytes")
    assert either.get("a/b/c") == b"\0bytes"


def test_the_first_put_wins(either):
    assert either.put_if_absent("a", b"first")
    assert not either.put_if_absent("a", b"second")
    assert either.get("a") == b"first"


def test_another_store_at_the_same_place_sees_it(either, where):
    assert list(either.list("a")) == []
    other = open_store(where)
    other.put_if_absent("a/1", b"first")
    assert list(either.list("a")) == [("a/1", 5)]
    assert either.get("a/1") == b"first" and not either.put_if_absent("a/1", b"second")


def test_an_absent_name_is_not_found(either):
    with pytest.raises(FileNotFoundError):
        either.get("a")


def test_a_store_is_called_what_the_user_called_it(either, where):
    assert str(either) == where


def test_a_store_without_runs_is_refused_where_one_is_needed(where):
    with pytest.raises(UserError, match=re.escape(f"--store {where} does not exist: no runs were saved there yet.")):
        open_store(where, existing=True)
    open_store(where).put_if_absent("benchmarks/1.json", b"{}")
    assert open_store(where, existing=True).get("benchmarks/1.json") == b"{}"


def test_of_many_threads_one_wins_and_its_content_is_whole(either):
    with ThreadPoolExecutor(16) as threads:
        for round_ in range(5):
            contents = [bytes([i]) * 10_000 for i in range(16)]
            won = list(threads.map(lambda data, name=f"name{round_}": either.put_if_absent(name, data), contents))
            assert won.count(True) == 1
            assert either.get(f"name{round_}") == contents[won.index(True)]


def test_of_many_processes_one_wins_each_name(either, where):
    code = """
import sys
from forget512.harness.store.backends.opening import open_store
store, me = open_store(sys.argv[1]), sys.argv[2]
print(*[i for i in range(40) if store.put_if_absent(f"folder/{i}", me.encode() * 5000)])
"""
    processes = {me: python(code, where, me) for me in "abc"}
    won = {me: process.communicate(timeout=60)[0].split() for me, process in processes.items()}
    assert sorted((name for names in won.values() for name in names), key=int) == [str(i) for i in range(40)]
    for me, names in won.items():
        assert all(either.get(f"folder/{name}") == me.encode() * 5000 for name in names)
    assert len(list(either.list("folder"))) == 40


def test_a_killed_writer_leaves_nothing_partial_under_a_name(either, where):
    code = """
import sys
from itertools import count
from forget512.harness.store.backends.opening import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
for i in count():
    store.put_if_absent(f"big/{sys.argv[2]}-{i}", bytes([i % 256]) * 4_000_000)
"""
    rng = random.Random(0)
    for attempt in range(5):
        writer = python(code, where, attempt)
        assert writer.stdout and writer.stdout.readline() == "ready\n"
        while not list(either.list("big")):  # killed before it wrote anything, it would show nothing
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.06))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    names = list(either.list("big"))
    assert names
    for name, size in names:
        assert size == 4_000_000
        assert either.get(name) == bytes([int(name.rpartition("-")[2]) % 256]) * 4_000_000


def test_a_list_gives_names_and_sizes_in_order_below_its_folder_alone(either):
    for name in ("b/2", "b/10", "b/sub/1", "b/sub-2/1", "a/1", "ba/1"):
        either.put_if_absent(name, name.encode())
    assert list(either.list("b")) == [("b/10", 4), ("b/2", 3), ("b/sub/1", 7), ("b/sub-2/1", 9)]
    assert list(either.list("nothing")) == []


def test_what_is_set_aside_makes_room_and_is_kept(either):
    for content in (b"one", b"two", b"three"):
        assert either.put_if_absent("a/1", content)
        aside = either.set_aside("a/1")
        assert either.get(aside) == content and aside.startswith("damaged/a/1")
    assert list(either.list("a")) == []
    assert len(list(either.list("damaged"))) == 3
    either.set_aside("a/1")  # another driver was first
    assert len(list(either.list("damaged"))) == 3


def test_what_is_removed_is_gone(either):
    either.put_if_absent("a/1", b"1")
    either.put_if_absent("a/2", b"2")
    for _ in range(2):  # nor does it hurt where another was first
        either.remove("a/1")
    assert list(either.list("a")) == [("a/2", 1)]


def test_listing_opens_no_file(store):
    store.put_if_absent("a/1", b"1")
    opened = []
    listening = True
    sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if listening and event == "open" else None)
    assert len(list(store.list("a"))) == 1
    store.get("a/1")
    listening = False
    assert [str(path) for path in opened] == [str(store.root / "a/1")]


def test_a_list_ignores_what_is_still_being_written(store):
    store.put_if_absent("a/1", b"1")
    (store.root / "a" / f"{TEMPORARY}xyz").write_bytes(b"half")
    assert list(store.list("a")) == [("a/1", 1)]


def test_a_put_leaves_nothing_else_behind(store):
    store.put_if_absent("a/1", b"1")
    store.put_if_absent("a/1", b"2")
    assert os.listdir(store.root / "a") == ["1"] and os.listdir(store.root) == ["a"]


@pytest.mark.parametrize("below", ["store", "."])
def test_a_store_that_cannot_be_made_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("a file, not a folder")
    root = tmp_path / "file" / below
    with pytest.raises(UserError, match=r"--store .* cannot be written \(.+\)"):
        Folder(root)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_store_where_nobody_may_write_is_refused():
    with pytest.raises(UserError, match="--store /proc/forget512 cannot be written"):
        Folder(Path("/proc/forget512"))
    with pytest.raises(UserError, match="--store /proc/self cannot be written"):
        Folder(Path("/proc/self"))


def test_a_store_that_can_be_written_no_more_says_so(store):
    (store.root / "a").write_text("a file in the way")
    with pytest.raises(StoreUnavailable, match=r"Cannot write to --store .* Finished runs are safe; fix .* rerun"):
        store.put_if_absent("a/1", b"1")


def test_a_folder_that_is_gone_is_unavailable_and_never_made_anew(store, tmp_path):
    """It may be a mount: what was written beneath it would be hidden when it is back."""
    store.put_if_absent("a/1", b"1")
    store.root.rename(tmp_path / "unmounted")
    for use in uses(store):
        with pytest.raises(StoreUnavailable, match="\\(No such file or directory\\)"):
            use()
    assert not store.root.exists()
    (tmp_path / "unmounted").rename(store.root)
    assert store.get("a/1") == b"1" and store.put_if_absent("b/1", b"1")


def uses(store):
    """Each thing that a run needs of a store."""
    return [lambda: store.put_if_absent("b/1", b"1"), lambda: store.get("a/1"), lambda: list(store.list("a"))]


def test_a_full_disk_is_unavailable_leaves_nothing_half_written_and_goes_on_when_there_is_room(store):
    """The kernel refuses to write, as on a full disk: beyond the size that it allows this process's files."""
    code = """
import os, resource, signal, sys
from forget512.harness.store.backends.contract import StoreUnavailable
from forget512.harness.store.backends.opening import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    store.put_if_absent("a/1", b"1" * 200_000)
except StoreUnavailable as error:
    print(error)
print(os.listdir(sys.argv[1] + "/a"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(store.put_if_absent("a/1", b"1" * 200_000), len(store.get("a/1")))
"""
    said, left, after = python(code, store.root).communicate(timeout=60)[0].splitlines()
    assert "(File too large). Finished runs are safe" in said
    assert left == "[]" and after == "True 200000"


MOUNTED = """
import os, subprocess, sys
from forget512.harness.store.backends.contract import StoreUnavailable
from forget512.harness.store.backends.opening import open_store
root = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root], check=True)
store = open_store(root + "/store")
def put(name, size):
    try:
        print(store.put_if_absent(name, b"1" * size))
    except StoreUnavailable as error:
        print(error)
"""


def in_a_mount_of_its_own(code, root):
    """Lines printed by code that has mounted a file system of 1 MB there, for its own eyes."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", root]).returncode:
        pytest.skip("this machine lets no user mount a file system")
    return python(MOUNTED + code, root, before=alone).communicate(timeout=60)[0].splitlines()


def test_a_disk_that_is_really_full_is_unavailable_until_there_is_room(tmp_path):
    code = """
put("a/1", 700_000); put("a/2", 700_000)
print(sorted(os.listdir(root + "/store/a")), len(store.get("a/1")))
os.remove(root + "/store/a/1")
put("a/2", 700_000)
"""
    first, full, left, after = in_a_mount_of_its_own(code, tmp_path)
    assert full.startswith("Cannot write to --store ") and "(No space left on device)" in full
    assert (first, left, after) == ("True", "['1'] 700000", "True")


def test_a_disk_that_turns_read_only_is_unavailable_for_writing_and_can_be_read(tmp_path):
    code = """
put("a/1", 10)
subprocess.run(["mount", "-o", "remount,ro", root], check=True)
put("a/2", 10); put("b/2", 10)
print(len(store.get("a/1")), list(store.list("a")))
subprocess.run(["mount", "-o", "remount,rw", root], check=True)
put("a/2", 10)
"""
    first, denied, elsewhere, read, after = in_a_mount_of_its_own(code, tmp_path)
    assert all("(Read-only file system)" in line for line in (denied, elsewhere))
    assert (first, read, after) == ("True", "10 [('a/1', 10)]", "True")


def test_a_disk_that_is_unmounted_meanwhile_is_unavailable_until_it_is_back(tmp_path):
    code = """
put("a/1", 10)
os.mkdir(root + "/../kept"); subprocess.run(["mount", "--move", root, root + "/../kept"], check=True)
put("a/2", 10)
print(os.listdir(root))
subprocess.run(["mount", "--move", root + "/../kept", root], check=True)
put("a/2", 10)
"""
    (tmp_path / "mount").mkdir()
    first, gone, beneath, after = in_a_mount_of_its_own(code, tmp_path / "mount")
    assert "(No such file or directory)" in gone
    assert (first, beneath, after) == ("True", "[]", "True")


def test_a_file_system_without_hard_links_will_do(store, monkeypatch):
    def no_links(*_arguments, **_options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert store.put_if_absent("a/1", b"first")
    assert not store.put_if_absent("a/1", b"second")
    assert store.get("a/1") == b"first" and os.listdir(store.root / "a") == ["1"]


def test_an_error_of_another_kind_is_not_taken_for_missing_hard_links(store, monkeypatch):
    def too_many(*_arguments, **_options):
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", too_many)
    with pytest.raises(StoreUnavailable, match="Too many links"):
        store.put_if_absent("a/1", b"first")
    assert os.listdir(store.root / "a") == []


def test_opening_a_store_to_read_writes_nothing(store):
    before = store.root.stat().st_mtime_ns
    assert list(open_store(store.root, existing=True).list("banks")) == []
    assert store.root.stat().st_mtime_ns == before


def test_a_read_only_disk_can_be_opened_to_read(tmp_path):
    code = """
put("a/1", 10)
subprocess.run(["mount", "-o", "remount,ro", root], check=True)
print(list(open_store(root + "/store", existing=True).list("a")))
"""
    assert in_a_mount_of_its_own(code, tmp_path) == ["True", "[('a/1', 10)]"]


def test_a_bank_folder_is_scored_where_nothing_can_be_written(filled_store):
    root = Path(filled_store.store)
    bank = next(root.glob("banks/*/retrain-*"))
    before = root.stat().st_mtime_ns
    assert len(read_side(bank, "--retrained").columns.confidences) > 1
    assert root.stat().st_mtime_ns == before
