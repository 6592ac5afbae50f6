"""Candidates that hang, crash, leave and stay, in one evaluation with one that works: as a user runs them."""

import contextlib
import json
import time

import psutil
import pytest

from support.commands import start_cli

MARK = "forget512-test-daemon"
CANDIDATES = {
    "hangs": ("import time\n", "print('on my way', flush=True)\n    time.sleep(10_000)", "did not finish within 3 s"),
    "crashes": ("import ctypes\n", "ctypes.string_at(0)", "killed by SIGSEGV"),
    "leaves": ("import os\n", "os._exit(0)", "instead of returning a network"),
    "raises": ("", "raise ValueError('no')", "ValueError: no (raises.py, line 3)"),
    "starts": (
        "import subprocess, sys\n",
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9999)', '{MARK}'], start_new_session=True)",
        "",
    ),
}


def daemons():
    return [p.pid for p in psutil.process_iter(["cmdline"]) if MARK in (p.info["cmdline"] or [])]


@pytest.mark.slow
def test_each_fails_with_its_reason_and_the_others_are_scored(tmp_path):
    files = []
    for name, (head, body, _) in CANDIDATES.items():
        files.append(tmp_path / f"{name}.py")
        files[-1].write_text(f"{head or chr(10)}def unlearning(net, retain, forget, validation):\n    {body}\n")
    log = tmp_path / "log.jsonl"
    options = ["--runs", 4, "--epochs", 1, "--run-timeout", 3, "--store", tmp_path / "store", "--json"]
    process = start_cli("evaluate", *files, "finetune", *options, "--log-json", log)
    children: set[psutil.Process] = set()
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children |= set(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.5)
    out, err = process.communicate()
    assert process.returncode == 1 and "Traceback" not in err
    table = {row["algorithm"].split("@")[0]: row for row in json.loads(out)["algorithms"]}
    assert table["finetune"]["runs"] == table["starts"]["runs"] == 4
    reasons = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] in ("failed", "lost"):
            reasons.setdefault(event["algorithm"].split("@")[0], set()).add(event["text"])
    for name, (_, _, reason) in CANDIDATES.items():
        assert not reason or any(reason in text for text in reasons[name]), reasons.get(name)
        assert not reason or (reasons[name] and table[name]["runs"] == 0)
    assert reasons.keys() == {name for name, (_, _, reason) in CANDIDATES.items() if reason}
    assert "hangs" in err and "did not finish within 3 s" in err  # summed up
    time.sleep(1)
    assert not daemons() and not [child for child in children if child.is_running() and child.status() != "zombie"]
