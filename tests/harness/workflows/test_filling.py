"""What every workflow that fills banks has in common: originals, the log, and a store that is gone for a while."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from forget512.harness.api.running import run
from forget512.harness.candidates.files import load_candidates
from forget512.harness.hashing import sha256
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import keep_given
from forget512.harness.store.record import decode, failed
from forget512.harness.worker.examine import Examiner
from forget512.harness.worker.unlearn import Unlearner
from forget512.harness.workflows import filling
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.examination import Examination
from forget512.harness.workflows.options import RunOptions
from forget512.harness.workflows.original import OriginalTraining
from forget512.harness.workflows.retry import Retry

pytestmark = pytest.mark.usefixtures("ray_session")
ONE = Compute("cpu", 1, 0.0)


@pytest.fixture
def idea(tmp_path):
    path = tmp_path / "idea.py"
    path.write_text("def unlearning(net, retain, forget, validation):\n    return net\n")
    return load_candidates([path])[0]


@pytest.fixture
def originals(original) -> list[bytes]:
    """Two that differ in their classifiers."""
    state = load(original)
    noise = torch.randn(state["fc.weight"].shape, generator=torch.Generator().manual_seed(0))
    return [original, save({**state, "fc.weight": state["fc.weight"] + noise})]


@pytest.fixture
def checkpoints(tmp_path, original) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.safetensors").write_bytes(original)
    return folder


def failed_bank(store, benchmark, idea, original: bytes, make_record) -> Bank:
    keep_given(store, original)
    bank = Bank(store, benchmark, idea, sha256(original))
    bank.add(failed(make_record(bank, 0), "a reason").encode())
    return bank


def test_runs_from_several_original_models_each_start_from_their_own(store, benchmark, idea, originals, make_record):
    """The candidate returns the original as it is."""
    banks = [failed_bank(store, benchmark, idea, each, make_record) for each in originals]
    work = Retry(benchmark, store, [], [idea])
    assert [event.kind for event in work.run(ONE)].count("finished") == 2
    assert list(work.progress().values()) == [(1, 1), (1, 1)]
    training, cpu = benchmark.training_part, torch.device("cpu")
    examiner = Examiner(training, benchmark.examination_part, Unlearner(training, cpu, images_on=cpu).images, cpu)
    for bank, original in zip(banks, originals, strict=True):
        record = decode(store.get(f"{bank.folder}/00000.finished.safetensors"))
        expected = examiner.examine(load(original), make_record(bank, 0))
        assert np.array_equal(record.forget_logits, expected.forget_logits)


def workflows(store, benchmark, idea, checkpoints, make_record, original):
    failed_bank(store, benchmark, idea, original, make_record)
    yield Retry(benchmark, store, [], [idea]), 1
    yield Examination(benchmark, checkpoints, "outside", store), 6
    yield OriginalTraining(benchmark, store), 1
    yield Evaluation(benchmark, [], 2, store), 2


def test_each_workflow_writes_the_same_log(store, benchmark, idea, checkpoints, make_record, original, tmp_path):
    for number, (work, runs) in enumerate(workflows(store, benchmark, idea, checkpoints, make_record, original)):
        assert sum(work.to_run().values()) == runs == work.runs
        path = tmp_path / f"{number}.jsonl"
        assert run(work, ONE, RunOptions(log_json=path), progress=False) == []
        begin, *between, end = [json.loads(line) for line in path.read_text().splitlines()]
        assert begin["event"] == "begin" and begin["runs"] == runs and sum(begin["missing"].values()) == runs
        assert begin["benchmark"] == benchmark.fingerprint and begin["dataset"] == benchmark.dataset.name
        assert end["event"] == "end" and end["how"] == "finished" and end["lost"] == 0
        kinds = [line["event"] for line in between]
        assert kinds.count("given") == runs and kinds.count("finished") + kinds.count("original") == runs
        assert sum(work.to_run().values()) == 0 and all(done == wanted for done, wanted in work.progress().values())


def test_checkpoints_wait_for_a_store_that_is_gone(store, benchmark, checkpoints, monkeypatch):
    monkeypatch.setattr(filling, "STORE_PAUSE", 0.2)
    examination, events = Examination(benchmark, checkpoints, "outside", store), []
    for event in examination.run(ONE):
        events.append(event)
        if [e.kind for e in events].count("finished") == 1 and event.kind == "finished":
            away = store.root.rename(store.root.with_name("away"))
            threading.Timer(1.0, away.rename, [store.root]).start()
    assert "waiting" in [event.kind for event in events] and examination.complete


def test_nothing_to_run_starts_no_workers(store, benchmark, idea, monkeypatch):
    monkeypatch.setattr(filling, "Pool", None)
    assert list(Retry(benchmark, store, [], []).run(ONE)) == []


def test_a_run_may_take_ten_times_a_retraining_where_its_bank_has_none(store, benchmark, idea, original, make_record):
    failed_bank(store, benchmark, idea, original, make_record)
    work = Retry(benchmark, store, [], [idea])
    assert work.usual_seconds(work.filled[0]) == 6.0  # so that a run may take a minute
    reference = Bank(store, benchmark, work.retrain, None)
    reference.add(make_record(reference, 0, seconds=100.0).encode())
    work = Retry(benchmark, store, [], [idea])
    assert work.usual_seconds(work.filled[0]) == 100.0
