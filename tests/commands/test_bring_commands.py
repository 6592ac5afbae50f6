"""split, examine, retry, verify-store and prune as a user gives them."""

import io
import json
import subprocess
import sys

import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import load_candidates
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.layout import bank_folder
from forget512.harness.workflows.evaluation import Evaluation
from support.commands import command, run_cli

HEAD = "def unlearning(net, retain, forget, validation"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["split"], "Missing option '--out'"),
        (["split", "--out", "taken"], "--out taken exists and is not empty: give a new folder"),
        (["split", "--out", "new", "--dataset", "digitz"], "Did you mean 'digits'?"),
        (["examine", "nowhere", "--as", "mine"], "nowhere does not exist: give a folder of state_dicts"),
        (["examine", "empty", "--as", "mine"], "empty holds no checkpoint"),
        (["examine", "taken", "--as", "finetune"], "--as 'finetune': give a name"),
        (["examine", "taken"], "Missing option '--as'"),
        (["examine", "taken", "--as", "mine", "--mode", "best"], "--mode 'best' is not known"),
        (["retry"], "--store store does not exist"),
        (["retry", "finetun"], "Did you mean 'finetune'?"),
        (["verify-store", "--store", "nowhere"], "--store nowhere does not exist"),
        (["prune", "--store", "nowhere"], "--store nowhere does not exist"),
        (["prune", "--store", "empty", "--keep", "none.py"], "none.py does not exist"),
        (["evaluate", "none.ipynb"], "none.ipynb does not exist"),
        (
            ["evaluate", "taken/idea.ipynb"],
            "has no function `unlearning(net, retain_loader, forget_loader, val_loader)`",
        ),
        (["evaluate", "taken/idea.py", "--batch-format", "kagle"], "Did you mean 'kaggle'?"),
    ],
)
def test_a_mistake_is_one_line(refused, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "idea.py").write_text(f"{HEAD}): pass")
    (tmp_path / "taken" / "idea.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    assert said in refused(*arguments)


@pytest.fixture
def store(tmp_path):
    """A store with a bank of a method of ours whose code has changed: its bank.json and a damaged record."""
    identity = {"benchmark": "0" * 64, "algorithm": "finetune", "hyper_parameters": {}, "source": "old"}
    folder = tmp_path / "store" / bank_folder(identity)
    folder.mkdir(parents=True)
    (folder / "bank.json").write_text(json.dumps(identity))
    (folder / "00000.finished.safetensors").write_bytes(b"damaged")
    return tmp_path / "store"


def test_verify_store_names_what_is_damaged_and_sets_it_aside_when_asked(store, monkeypatch, capsys):
    for arguments in ([], ["--set-aside"]):
        status, out, err = command(monkeypatch, capsys, "verify-store", "--store", store, *arguments)
        assert status == 1 and err == ""
        assert "/00000.finished.safetensors: it is not a run record" in out
    assert "moved to damaged/banks/" in out
    status, out, _ = command(monkeypatch, capsys, "verify-store", "--store", store)
    assert (status, out.splitlines()[-1]) == (0, f"{store}: 1 files OK, 0 damaged.")


@pytest.mark.parametrize(("answer", "left"), [("n\n", True), ("", True), ("y\n", False)])
def test_prune_shows_what_would_go_and_asks(store, monkeypatch, capsys, answer, left):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    status, out, _ = command(monkeypatch, capsys, "prune", "--store", store)
    assert status == (0 if answer else 2)
    assert "its code has changed; 1 runs" in out and "Remove 1 banks, 1 runs" in out
    assert any((store / "banks").rglob("bank.json")) is left


def test_prune_does_not_ask_when_told_so(store, monkeypatch, capsys):
    status, out, _ = command(monkeypatch, capsys, "prune", "--store", store, "--yes")
    assert status == 0 and out.endswith("removed.\n")
    status, out, _ = command(monkeypatch, capsys, "prune", "--store", store)
    assert (status, out) == (0, "nothing to prune.\n")


def test_nothing_failed_is_said(tmp_path, monkeypatch, capsys):
    (tmp_path / "store").mkdir()
    status, out, _ = command(monkeypatch, capsys, "retry", "--store", tmp_path / "store")
    assert (status, out) == (0, "no failed runs.\n")


def test_existing_identities_are_as_they_were(tmp_path):
    """Optional fields must not orphan what was computed before there were any."""
    benchmark = make_benchmark("digits")
    assert benchmark.fingerprint.startswith("a83e752f047c")
    path = tmp_path / "idea.py"
    path.write_text(f"{HEAD}): pass\n")
    evaluation = Evaluation(benchmark, [], 2, Folder(tmp_path / "store"))
    assert evaluation.reference.identity.keys() == {"benchmark", "algorithm", "hyper_parameters", "source", "original"}
    for algorithm in (built_in("finetune", "digits"), load_candidates([path])[0]):
        assert algorithm.unusual == {}


@pytest.mark.slow
def test_an_outside_program_goes_from_split_to_a_row_on_the_board(tmp_path):
    """As its user does it: split, a program that imports nothing of ours, retrain, examine."""
    options = ("--epochs", 1, "--store", tmp_path / "store")
    process = run_cli("split", "--out", tmp_path / "digits", *options)
    assert process.returncode == 0, process.stderr
    (tmp_path / "digits" / "outside.py").write_text(
        "import torch\nfrom load_split import original, save\n"
        "for seed in range(8):\n    torch.manual_seed(seed)\n    net = original()\n"
        "    net.fc.weight.data += 0.1 * torch.randn_like(net.fc.weight)\n    save(net, seed)\n"
    )
    subprocess.run([sys.executable, "outside.py"], cwd=tmp_path / "digits", check=True, timeout=120)
    assert run_cli("retrain", "--runs", 8, *options).returncode == 0
    process = run_cli("examine", tmp_path / "digits" / "checkpoints", "--as", "outside", "--actors", 1, *options)
    assert process.returncode == 0, process.stderr
    assert "outside" in process.stdout and "8 × examined" in process.stdout
    bank = process.stdout.strip().splitlines()[-1].removeprefix("Its bank is ").rstrip(".")
    reference = next((tmp_path / "store").glob("banks/*/retrain-*"))
    assert run_cli("score", "--retrained", reference, "--unlearned", bank).returncode == 0
