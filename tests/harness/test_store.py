"""The store: a name that can be seen holds the whole of what was put first."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.store import TEMPORARY, Store

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: object) -> subprocess.Popen:
    """A process that runs code with the harness importable."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_was_put_is_got_back(store):
    assert store.put_if_absent("a/b/c", b"\0bytes")
    assert store.get("a/b/c") == b"\0bytes"


def test_the_first_put_wins(store):
    assert store.put_if_absent("a", b"first")
    assert not store.put_if_absent("a", b"second")
    assert store.get("a") == b"first"


def test_another_store_on_the_same_folder_sees_it(store):
    store.put_if_absent("a", b"first")
    other = Store(store.root)
    assert other.get("a") == b"first" and not other.put_if_absent("a", b"second")


def test_an_absent_name_is_not_found(store):
    with pytest.raises(FileNotFoundError):
        store.get("a")


def test_of_many_threads_one_wins_and_its_content_is_whole(store):
    with ThreadPoolExecutor(16) as threads:
        for round_ in range(20):
            contents = [bytes([i]) * 10_000 for i in range(16)]
            won = list(threads.map(lambda data, name=f"name{round_}": store.put_if_absent(name, data), contents))
            assert won.count(True) == 1
            assert store.get(f"name{round_}") == contents[won.index(True)]


def test_of_many_processes_one_wins_each_name(store):
    code = """
import sys
from pathlib import Path
from harness.store import Store
store, me = Store(Path(sys.argv[1])), sys.argv[2]
print(*[i for i in range(60) if store.put_if_absent(f"folder/{i}", me.encode() * 5000)])
"""
    processes = {me: python(code, store.root, me) for me in "abcd"}
    won = {me: process.communicate(timeout=60)[0].split() for me, process in processes.items()}
    assert sorted((name for names in won.values() for name in names), key=int) == [str(i) for i in range(60)]
    for me, names in won.items():
        assert all(store.get(f"folder/{name}") == me.encode() * 5000 for name in names)
    assert len(list(store.list("folder"))) == 60


def test_a_killed_writer_leaves_no_partial_file_under_a_name(store):
    code = """
import sys
from itertools import count
from pathlib import Path
from harness.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for i in count():
    store.put_if_absent(f"big/{sys.argv[2]}-{i}", bytes([i % 256]) * 4_000_000)
"""
    rng = random.Random(0)
    for attempt in range(5):
        writer = python(code, store.root, attempt)
        assert writer.stdout and writer.stdout.readline() == "ready\n"
        while not list(store.list("big")):  # killed before it wrote anything, it would show nothing
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.06))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    names = list(store.list("big"))
    assert names
    for name, size in names:
        assert size == 4_000_000
        assert store.get(name) == bytes([int(name.rpartition("-")[2]) % 256]) * 4_000_000


def test_a_list_gives_names_and_sizes_in_order_below_its_folder_alone(store):
    for name in ("b/2", "b/10", "b/sub/1", "a/1", "ba/1"):
        store.put_if_absent(name, name.encode())
    assert list(store.list("b")) == [("b/10", 4), ("b/2", 3), ("b/sub/1", 7)]
    assert list(store.list("nothing")) == []


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


def test_what_is_set_aside_makes_room_and_is_kept(store):
    for content in (b"one", b"two", b"three"):
        assert store.put_if_absent("a/1", content)
        aside = store.set_aside("a/1")
        assert store.get(aside) == content and aside.startswith("damaged/a/1")
    assert list(store.list("a")) == []
    assert len(list(store.list("damaged"))) == 3


@pytest.mark.parametrize("below", ["store", "."])
def test_a_store_that_cannot_be_made_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("a file, not a folder")
    root = tmp_path / "file" / below
    with pytest.raises(UserError, match=r"--store .* cannot be written \(.+\)"):
        Store(root)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_store_where_nobody_may_write_is_refused():
    with pytest.raises(UserError, match="--store /proc/forget512 cannot be written"):
        Store(Path("/proc/forget512"))
    with pytest.raises(UserError, match="--store /proc/self cannot be written"):
        Store(Path("/proc/self"))


def test_a_store_that_can_be_written_no_more_says_so(store):
    (store.root / "a").write_text("a file in the way")
    with pytest.raises(UserError, match=r"cannot be written any more .*give the same command again"):
        store.put_if_absent("a/1", b"1")


def test_a_file_system_without_hard_links_will_do(store, monkeypatch):
    def no_links(*_arguments, **_options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert store.put_if_absent("a/1", b"first")
    assert not store.put_if_absent("a/1", b"second")
    assert store.get("a/1") == b"first" and os.listdir(store.root / "a") == ["1"]
