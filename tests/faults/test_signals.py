"""Ctrl-C and SIGTERM, sent to a command as it runs."""

import json
import os
import signal
import time

import pytest

from support.commands import finished_records, start_cli


@pytest.mark.parametrize(
    ("signals", "status", "said"),
    [
        ([signal.SIGINT], 130, "Stopping after the runs in progress"),
        pytest.param([signal.SIGINT, signal.SIGINT], 130, "Ctrl-C again stops at once", marks=pytest.mark.slow),
        ([signal.SIGTERM], 143, "terminated"),
    ],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM"],
)
def test_signals_keep_what_is_finished_and_say_how_to_go_on(signals, status, said, tmp_path):
    log = tmp_path / "log.jsonl"
    process = start_cli("retrain", "--epochs", 1, "--runs", 200, "--store", tmp_path / "store", "--log-json", log)
    while len(finished_records(tmp_path / "store")) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    for number in signals:
        os.kill(process.pid, number)
        time.sleep(0.05)  # two that come at once are one
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert said in err and "Finished runs are saved; rerun the command to continue" in err and "Traceback" not in err
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert events[0]["event"] == "begin" and events[-1] == {**events[-1], "event": "end", "how": "interrupted"}
    given, ended = ({e["seed"] for e in events if e["event"] == kind} for kind in ("given", "finished"))
    assert len(finished_records(tmp_path / "store")) == len(ended) < 200
    if signals == [signal.SIGINT]:
        assert given == ended  # what ran was finished
