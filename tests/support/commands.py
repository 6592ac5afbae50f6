"""Runs commands like a user, and reads their results in the store."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forget512.harness.cli.main import main
from forget512.harness.store.record import ARRAYS, decode

ROOT = Path(__file__).resolve().parents[2]


def run_cli(*arguments, cwd=ROOT, timeout=300):
    """Run a command like a user; returns the finished process with its text."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_eval.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def start_cli(*arguments):
    """Start a command; Ctrl-C reaches it even if the tests run in the background of a script."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_eval.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def command(monkeypatch, capsys, *arguments):
    """Run the command line in this process: (status, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["forget512", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def rows(process):
    """{algorithm: row} of an `evaluate --json`."""
    return {row["algorithm"].split("@")[0]: row for row in json.loads(process.stdout)["algorithms"]}


def finished_records(store):
    """List the paths of finished records below a store."""
    return sorted(Path(store).glob("banks/*/*/*.finished.safetensors"))


def contents(store):
    """Read {bank and seed: arrays and accuracies, as bytes}, which must not depend on how the runs were executed."""
    found = {}
    for path in finished_records(store):
        record = decode(path.read_bytes())
        arrays = b"".join(getattr(record, name).tobytes() for name in ARRAYS)
        accuracies = (record.retain_accuracy, record.forget_accuracy, record.validation_accuracy, record.test_accuracy)
        found[f"{path.parent.name}/{record.seed}"] = (arrays, accuracies)
    return found
