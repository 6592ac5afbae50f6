"""`status --watch`: the pace of banks, and what is shown of a store that fills meanwhile."""

import io
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from forget512.harness.store.backends.contract import StoreUnavailable
from forget512.harness.store.record import failed
from forget512.harness.store.status import BankStatus, BenchmarkStatus, status
from forget512.harness.views.console import console
from forget512.harness.views.status_table import show_watched
from forget512.harness.workflows.watching import Paces, Seen, watch
from support.commands import ROOT


def look(**finished):
    """What `status` reads of a store with these banks."""
    return [BenchmarkStatus("b", "digits", "resnet8", [BankStatus("b", n, c, 0, {}, 1) for n, c in finished.items()])]


@given(period=st.floats(0.01, 1000), runs=st.integers(1, 300), there=st.integers(0, 500), start=st.floats(0, 1e6))
def test_a_bank_that_grows_evenly_has_that_pace(period, runs, there, start):
    paces = Paces()
    for number in range(runs + 1):
        found = paces.take(start + number * period, look(mine=there + number))
    assert found["b", "mine"] == pytest.approx(1 / period, rel=1e-3)
    seen = Seen(look(mine=there + runs), found)
    (bank,) = seen.banks.values()
    assert seen.seconds_left(bank, there + runs + 10) == pytest.approx(10 * period, rel=1e-3)
    assert seen.seconds_left(bank, there + runs) == 0


@given(st.lists(st.tuples(st.floats(0.1, 100), st.integers(-3, 30)), min_size=1, max_size=200))
def test_a_pace_is_positive_whatever_appears_or_goes(steps):
    paces, now, count = Paces(), 0.0, 5
    for seconds, more in steps:
        now, count = now + seconds, max(count + more, 0)
        assert all(pace > 0 for pace in paces.take(now, look(mine=count)).values())


def test_what_was_there_before_gives_no_pace_and_a_bank_that_stops_slows_down():
    paces = Paces()
    assert paces.take(0.0, look(old=400, new=0)) == {}
    found = paces.take(10.0, look(old=400, new=100))
    assert found == {("b", "new"): 10.0}
    assert Seen(look(old=400), found).seconds_left(look(old=400)[0].banks[0], 512) is None
    assert paces.take(1000.0, look(old=400, new=100)) == {("b", "new"): 0.1}


def test_a_bank_that_speeds_up_has_the_pace_of_its_recent_runs():
    paces = Paces()
    for count in range(10):
        paces.take(100.0 * count, look(mine=count))
    for count in range(200):
        found = paces.take(900.0 + count, look(mine=9 + count))
    assert found["b", "mine"] == pytest.approx(1.0)


@pytest.fixture
def bank(store):
    """bank(finished): a bank's folder in the store, with so many more files of finished runs at each call."""
    names = iter(range(100_000))

    def more(finished):
        for _ in range(finished):
            store.put_if_absent(f"banks/{'0' * 12}/mine/{next(names):05}.finished.safetensors", b"run")

    more(3)
    return more


def watched(store, bank, steps, monkeypatch, capsys):
    """What is printed without a terminal while so many runs finish between one look and the next."""
    monkeypatch.setattr("forget512.harness.workflows.watching.EVERY", 0.01)
    looks = watch(store)

    def filling():
        yield next(looks)
        for finished in steps:
            bank(finished)
            yield next(looks)

    show_watched(filling(), 9, str(store), console())
    return capsys.readouterr().out


def test_a_filling_store_is_shown_whole_once_then_what_changed(bank, store, monkeypatch, capsys):
    monkeypatch.setattr("forget512.harness.views.status_table.SILENT_SECONDS", 0.0)
    out = watched(store, bank, [2, 0, 0, 1], monkeypatch, capsys)
    table, first, second = out.split("0" * 12 + "/mine: ")
    assert "3 of 9" in table and "in records" in table
    assert first.startswith("5 of 9, ") and "runs/hour, about " in first and first.count("\n") == 1
    assert second.startswith("6 of 9, ") and second.count("\n") == 1


def test_without_a_terminal_changes_wait_for_their_time(bank, store, monkeypatch, capsys):
    out = watched(store, bank, [1] * 5, monkeypatch, capsys)
    assert "3 of 9" in out and "/mine:" not in out


@pytest.fixture
def failures(store, make_record):
    """The names of two records of failures in the store."""
    names = []
    for seed in range(2):
        names.append(f"banks/{'0' * 12}/mine/{seed:05}.failed-1.safetensors")
        store.put_if_absent(names[-1], failed(make_record("k", seed), "too bad").encode())
    return names


def test_a_record_of_a_failure_is_read_once(store, failures, monkeypatch):
    monkeypatch.setattr("forget512.harness.workflows.watching.EVERY", 0.0)
    looks = watch(store)
    assert next(looks).banks["0" * 12, "mine"].failures == {"too bad": 2}
    for name in failures:
        (store.root / name).write_bytes(b"what is never looked at again")
    assert next(looks).banks["0" * 12, "mine"].failures == {"too bad": 2}


def test_a_failed_record_that_goes_between_list_and_get_is_left_out(store, failures, monkeypatch):
    get = store.get

    def pruned_meanwhile(name):
        store.remove(failures[0])
        return get(name)

    monkeypatch.setattr(store, "get", pruned_meanwhile)
    (bank,) = status(store)[0].banks
    assert (bank.failed, bank.failures) == (1, {"too bad": 1})


@pytest.mark.parametrize("terminal", [False, True])
def test_a_store_that_is_gone_for_a_while_is_told_and_watched_on(bank, store, tmp_path, monkeypatch, terminal):
    monkeypatch.setattr("forget512.harness.workflows.watching.EVERY", 0.0)

    def looks():
        looking = watch(store)
        yield next(looking)
        store.root.rename(tmp_path / "gone")
        yield next(looking)
        yield next(looking)
        (tmp_path / "gone").rename(store.root)
        yield next(looking)

    out = io.StringIO()
    show_watched(looks(), 9, "store", Console(file=out, width=100, force_terminal=terminal))
    first, *others = out.getvalue().split("store cannot be read now: No such file or directory. Retrying.")
    assert "3 of 9" in first and len(others) == (2 if terminal else 1)
    assert ("3 of 9" if terminal else "store is readable again.") in others[-1]


def test_a_store_that_is_gone_at_the_first_look_is_refused(bank, store, tmp_path):
    store.root.rename(tmp_path / "gone")
    with pytest.raises(StoreUnavailable):
        next(watch(store))


@pytest.mark.slow
def test_on_a_terminal_the_table_is_drawn_anew(bank, store):
    ours, theirs = pty.openpty()
    arguments = ["status", "--watch", "--runs", "9", "--store", str(store.root)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_eval.py"), *arguments],
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    shown = ""

    def read_until(text):
        nonlocal shown
        ends = time.monotonic() + 120
        while text not in shown:
            assert time.monotonic() < ends, shown
            shown += os.read(ours, 65536).decode()

    try:
        read_until("3 of 9")
        bank(2)
        read_until("5 of 9")
        read_until("runs/hour")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "Traceback" not in shown
