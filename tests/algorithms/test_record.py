"""The command that records versions, and a method added as a newcomer would."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forget512.algorithms.record import record
from forget512.algorithms.versions import Recorded
from forget512.harness.isolation.environment import CODE, ROOT

METHOD = '''"""Halving the weights."""


def halve(net, retain, forget, validation, *, share: float = 1):
    """Halve a share of the parameters."""
    for parameter in list(net.parameters())[: round(len(list(net.parameters())) * share)]:
        parameter.data /= 2
    return net
'''
ENTRY = '\n[halve]\npaper = "nobody"\nreads = []\npublished = "ours"\nsmall.digits = { share = 0.5 }\n'
RUN = """
import torch
from forget512.algorithms import halve
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.candidates.source import check_recorded
check_recorded(["halve"], [])
(algorithm,) = find_algorithms(["halve"], [], "digits")
net = algorithm.function(torch.nn.Linear(1, 1, bias=False), None, None, None, share=1)
print(algorithm.hyper_parameters, algorithm.fractional, algorithm.function is halve)
"""


def test_what_is_recorded_follows_the_code():
    old = {name: Recorded(version, name) for name, version in (("same", 3), ("changed", 2), ("raised", 1), ("gone", 4))}
    new, lines = record(old, {"same": "same", "changed": "x", "raised": "y", "added": "z"}, ["raised"])
    assert new == {
        "added": Recorded(1, "z"),
        "changed": Recorded(2, "x"),
        "raised": Recorded(2, "y"),
        "same": Recorded(3, "same"),
    }
    assert [line.split(":")[0] for line in lines] == ["added", "changed", "raised", "gone"]
    assert record(new, {name: each.code for name, each in new.items()}) == (new, [])
    assert record(new, {name: each.code for name, each in new.items()}, ["same"])[0]["same"].version == 4


@pytest.fixture
def checkout(tmp_path) -> Path:
    for part, root in (("forget512", ROOT), ("harness", CODE), ("algorithms", CODE), ("scoring", CODE)):
        shutil.copytree(root / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def give(checkout: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=checkout, capture_output=True, text=True)
    return done.stdout + done.stderr.splitlines()[-1] if done.stderr else done.stdout


def test_a_method_is_added_by_a_file_an_entry_and_the_command(checkout):
    command = "-m", "forget512.algorithms.record"
    (checkout / "algorithms" / "literature" / "halve.py").write_text(METHOD)
    with open(checkout / "algorithms" / "literature" / "catalogue.toml", "a") as catalogue:
        catalogue.write(ENTRY)
    assert "the code of halve in algorithms/ differs" in give(checkout, "-c", RUN)
    assert give(checkout, *command) == "halve: new, version 1.\n"
    assert give(checkout, *command) == "Nothing has changed.\n"
    assert give(checkout, "-c", RUN) == "{'share': 0.5} ['share'] True\n"
    listed = give(checkout, "-m", "forget512", "algorithms")
    assert "halve  (nobody; reads no set; presets ours, small (digits))" in listed and "share=1" in listed
    assert give(checkout, *command, "--bump", "halve") == "halve: version 1 is now version 2.\n"
    assert "there is no such module; give one of amnesiacs, " in give(checkout, *command, "--bump", "halved")
    (checkout / "algorithms" / "literature" / "halve.py").unlink()
    assert give(checkout, *command) == "halve: removed.\n"
