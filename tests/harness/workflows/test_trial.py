"""Trying an idea in the foreground."""

from __future__ import annotations

import dataclasses
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.isolation.environment import SECRET
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import load_original
from forget512.harness.store.record import decode
from forget512.harness.worker.examine import Examiner
from forget512.harness.worker.runner import Runner, RunSeed
from forget512.harness.worker.seeds import Seeds
from forget512.harness.workflows.trial import TrialFailed, try_algorithm

ROOT = Path(__file__).resolve().parents[3]
TRAIN = """
import random
import numpy as np
import torch
import torch.nn.functional as F

def unlearning(net, retain, forget, validation, lr=0.05, noise=(0.0, 0.01)):
    print('so it begins')
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    net.train()
    for inputs, targets in retain:
        inputs = inputs + noise[1] * torch.randn(inputs.shape) + random.random() * 0.01 + np.random.rand() * 0.01
        optimizer.zero_grad()
        F.cross_entropy(net(inputs.float()), targets).backward()
        optimizer.step()
"""


@pytest.fixture(autouse=True)
def path_as_it_was():
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def attempt(benchmark, tmp_path, store):
    """attempt(code, *settings, seed=1): tries a file with this code on the tiny benchmark."""
    count = [0]

    def attempt(code, *settings, seed=1, **options):
        count[0] += 1
        path = tmp_path / f"idea{count[0]}.py"
        path.write_text(code)
        return try_algorithm(str(path), settings, "tiny", benchmark, store, seed, "cpu", **options)

    return attempt


def body(text):
    return f"import torch\ndef unlearning(net, retain, forget, validation):\n    {text}\n"


def test_a_trial_is_to_the_last_bit_the_run_that_an_evaluation_does(attempt, benchmark, store, tmp_path, capfd):
    trial = attempt(TRAIN, "lr=0.07")
    assert "so it begins" in capfd.readouterr().out
    (algorithm,) = find_algorithms([str(tmp_path / "idea1.py")], ["lr=0.07"], "tiny")
    runner = Runner(benchmark.training_part, benchmark.examination_part, "cpu", 1.0)
    retrain = built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)
    original = load_original(store, benchmark, retrain)
    work = RunSeed(algorithm, Seeds(Bank(store, benchmark, algorithm, sha256(original)).key, 1))
    record = decode(work.perform(runner, original, None))
    runner.fork_server.close()
    examiner = Examiner(benchmark.training_part, benchmark.examination_part, runner.unlearner.images, runner.device)
    ours = examiner.examine(trial.state, dataclasses.replace(record, forget_logits=None))
    assert record.status == "finished", record.error
    assert (ours.forget_logits == record.forget_logits).all() and record.output == "so it begins\n"
    assert trial.after == {kind: getattr(record, kind) for kind in trial.after}


def test_a_trial_is_not_kept_and_its_original_is(attempt, store):
    said = []
    one, other = (attempt(TRAIN, seed=seed, say=said.append) for seed in (1, 2))
    assert not (store.root / "banks").exists() and list(store.root.glob("originals/*.safetensors"))
    assert sum("training one first" in line for line in said) == 1
    assert one.before == other.before and one.warnings == other.warnings == []
    assert one.seconds > 0 and one.retraining > 0 and "times 2" in one.timed


def test_a_candidate_that_is_tried_does_not_see_credentials(attempt, monkeypatch, capfd):
    for prefix in SECRET:
        monkeypatch.setenv(f"{prefix}KEY", "the-secret")
    show = "import os\nprint('seen', 'the-secret' in os.environ.values())\n"
    attempt(show + TRAIN)
    assert capfd.readouterr().out.startswith("seen False\n")


def test_a_trial_of_a_method_of_ours(benchmark, store):
    trial = try_algorithm("finetune", ["lr=0.1"], "tiny", benchmark, store, 0, "cpu")
    assert trial.algorithm == "finetune" and trial.warnings == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (body("return 1 / 0"), "failed: ZeroDivisionError: division by zero (idea1.py, line 3)"),
        (body("raise SystemExit(0)"), "failed: SystemExit: 0"),
        ("import no_such_module", "failed: ModuleNotFoundError: No module named 'no_such_module' (idea1.py, line 1)"),
        ("def unlearning(:", "failed: SyntaxError: invalid syntax (idea1.py, line 1)"),
    ],
)
def test_a_failure_shows_its_own_traceback_alone(attempt, capsys, code, said):
    with pytest.raises(TrialFailed) as caught:
        attempt(code)
    assert said in str(caught.value)
    shown = capsys.readouterr().err
    assert "idea1.py" in shown and "harness" not in shown and "\n    " in shown


def test_what_is_no_network_of_the_benchmark_is_one_line(attempt):
    for text, said in (
        ("return 3", "it returned int, not a network"),
        ("return torch.nn.Linear(2, 2)", "lacks 'conv1"),
    ):
        with pytest.raises(TrialFailed) as caught:
            attempt(body(text))
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_kaggles_batches_are_given_when_asked_for(attempt, capfd):
    attempt(body("print(sorted(next(iter(retain)))); net.fc.bias.data[0] += 1"), batch_format="kaggle")
    assert "image_id" in capfd.readouterr().out


def test_mistakes_in_the_command_are_errors(attempt, benchmark, store):
    with pytest.raises(UserError, match="does not exist"):
        try_algorithm("none.py", [], "tiny", benchmark, store, 0, "cpu")
    with pytest.raises(UserError, match="has no function"):
        attempt("def other(): ...")
    with pytest.raises(UserError, match="Did you mean 'lr'"):
        attempt(TRAIN, "lrr=3")


@pytest.mark.slow
def test_a_breakpoint_reaches_the_terminal(tmp_path):
    """In a terminal of its own, as a user sits at it: the debugger asks, prints what is asked for, and goes on."""
    idea = tmp_path / "idea.py"
    idea.write_text(body("secret = 41\n    breakpoint()\n    net.fc.bias.data.zero_()"))
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "run_eval.py"), "try", str(idea), "--epochs", "1", "--store", str(tmp_path)]
    env = {**os.environ, "PYTHONBREAKPOINT": "ray.util.rpdb._driver_set_trace"}  # as in a notebook that used Ray
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=env)
    os.close(theirs)
    seen, answers = "", ["p secret + 1\n", "c\n"]
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 1)[0]:
            try:
                seen += os.read(ours, 10_000).decode()
            except OSError:  # the other end is closed
                break
        if seen.rstrip(" ").endswith("(Pdb)") and answers:
            os.write(ours, answers.pop(0).encode())
    os.close(ours)
    assert process.wait(60) == 0, seen
    assert "42" in seen and "Traceback" not in seen and "unlearned" in seen


@pytest.mark.parametrize(("name", "said"), [("all", "takes one algorithm"), ("retrain", "cannot run retrain")])
def test_what_is_not_one_algorithm_that_unlearns_is_refused(benchmark, store, name, said):
    with pytest.raises(UserError, match=said):
        try_algorithm(name, [], "tiny", benchmark, store, 0, "cpu")
