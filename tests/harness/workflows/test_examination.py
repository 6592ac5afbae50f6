"""Checkpoints that an outside program made become a bank that is scored like any other."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.errors import UserError
from forget512.harness.results.board import leaderboard
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.record import decode
from forget512.harness.worker.runner import Runner
from forget512.harness.workflows.examination import Examination, ExamineCheckpoint

ONE_CORE = Compute("cpu", 1, 0.0)


@pytest.fixture(scope="module")
def runner(benchmark: Benchmark) -> Runner:
    return Runner(benchmark.training_part, benchmark.examination_part, "cpu", 0.5)


@pytest.fixture
def states(original) -> list[dict]:
    """Four networks that differ in their classifiers."""
    found = []
    for seed in range(4):
        state = load(original)
        noise = torch.randn(state["fc.weight"].shape, generator=torch.Generator().manual_seed(seed))
        found.append({**state, "fc.weight": state["fc.weight"] + 0.1 * noise})
    return found


@pytest.fixture
def folder(tmp_path, states) -> Path:
    path = tmp_path / "checkpoints"
    path.mkdir()
    for seed, state in enumerate(states):
        (path / f"net_{seed}.safetensors").write_bytes(save(state))
    return path


@pytest.fixture
def examine(runner, benchmark, store) -> Callable[..., Examination]:
    """examine(path, name): the examination with all its work done in this process."""

    def do(path: Path, name: str = "outside") -> Examination:
        examination = Examination(benchmark, path, name, store)
        for seed in examination.missing:
            work = examination._work(seed, examination.checkpoints[seed])
            examination.bank.add(work.perform(runner, None, None))
        return examination

    return do


def refusal(call: Callable, *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_wrapped_checkpoint_gives_the_same_record(runner, benchmark, states):
    buffer = io.BytesIO()
    torch.save({"state_dict": {f"module.{name}": value for name, value in states[0].items()}, "epoch": 1}, buffer)
    records = [
        decode(ExamineCheckpoint("bank", 0, "net_0", data, 10**7, "outside").perform(runner, None, None))
        for data in (save(states[0]), buffer.getvalue())
    ]
    assert [r.status for r in records] == ["finished", "finished"]
    assert records[0].forget_logits.tobytes() == records[1].forget_logits.tobytes()


def test_a_checkpoint_gives_the_record_that_examining_the_network_gives(runner, benchmark, states):
    data = save(states[0])
    record = decode(ExamineCheckpoint("bank", 3, "net_3.pt", data, 10**6, "outside").perform(runner, None, None))
    direct = runner.examiner.examine(states[0], record)
    assert (record.status, record.seed, record.seconds) == ("finished", 3, 0.0)
    assert record.provenance.engine == "examined" and record.provenance.share == 1.0
    assert (record.forget_logits == direct.forget_logits).all() and record.test_accuracy == direct.test_accuracy


def test_half_precision_is_examined_in_float32(runner, states):
    buffer = io.BytesIO()
    torch.save({name: value.half() for name, value in states[0].items()}, buffer)
    rounded = {name: value.half().to(value.dtype) for name, value in states[0].items()}
    half, whole = (
        decode(ExamineCheckpoint("bank", 0, "net.pth", data, 10**6, "outside").perform(runner, None, None))
        for data in (buffer.getvalue(), save(rounded))
    )
    assert half.status == "finished" and (half.forget_logits == whole.forget_logits).all()


def test_a_checkpoint_that_does_not_fit_is_named_with_its_first_difference_and_the_others_go_on(
    folder, states, examine
):
    del states[1]["bn1.weight"]
    (folder / "net_1.safetensors").write_bytes(save(states[1]))
    states[2]["fc.bias"] = torch.zeros(7)
    (folder / "net_2.safetensors").write_bytes(save(states[2]))
    (folder / "net_3.safetensors").write_bytes(save({**states[3], "fc.bias": torch.full((3,), float("nan"))}))
    (folder / "net_4.pt").write_bytes(b"no checkpoint")
    (folder / "net_5.safetensors").write_bytes(save({**states[0], "module.x": torch.zeros(1)}))
    examination = examine(folder)
    errors = {failure.seed: failure.error for failure in examination.bank.failures}
    assert examination.bank.readings.keys() == {0} and not examination.complete and not examination.missing
    assert "net_1.safetensors: the network that came back lacks 'bn1.weight'" in errors[1]
    assert "'fc.bias' came back with shape (7,)" in errors[2]
    assert "not finite" in errors[3]
    assert "net_4.pt: it cannot be read as a state_dict" in errors[4]
    assert "'module.x', which the benchmark's architecture lacks" in errors[5]
    row = leaderboard(examination.evaluation()).rows[0]
    assert (row.runs, row.wanted, row.failed) == (1, 6, 5)


def test_the_bank_is_named_by_its_name_and_its_checkpoints(folder, examine, tmp_path, benchmark):
    bank = examine(folder).bank
    assert bank.identity == {
        "benchmark": benchmark.fingerprint,
        "algorithm": "outside",
        "hyper_parameters": {},
        "source": bank.algorithm.source,
        "original": None,
    }
    again = examine(folder)
    assert again.bank.key == bank.key and again.complete
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    assert Examination(benchmark, elsewhere, "outside", Folder(tmp_path / "other")).bank.key == bank.key
    changed = load((elsewhere / "net_0.safetensors").read_bytes())
    changed["fc.bias"] += 1
    (elsewhere / "net_0.safetensors").write_bytes(save(changed))
    assert Examination(benchmark, elsewhere, "outside", Folder(tmp_path / "other")).bank.key != bank.key
    refusal(lambda: examine(elsewhere), "--as outside is the name of other checkpoints", "choose another")


def test_a_checkpoint_that_changes_meanwhile_is_one_line(folder, benchmark, store):
    examination = Examination(benchmark, folder, "outside", store)
    (folder / "net_0.safetensors").write_bytes(b"changed")
    refusal(lambda: examination._work(0, examination.checkpoints[0]), "net_0.safetensors has changed since")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "retrain", "finetune", "idea@1a2b3c4d", ".hidden", "x" * 65])
def test_a_name_that_is_none_or_taken_is_refused(folder, benchmark, store, name):
    refusal(lambda: Examination(benchmark, folder, name, store), "--as", "give a name of letters")


def test_one_checkpoint_is_no_distribution(folder, benchmark, store):
    for seed in (1, 2, 3):
        (folder / f"net_{seed}.safetensors").unlink()
    refusal(lambda: Examination(benchmark, folder, "outside", store), "holds 1 checkpoint")


def test_a_zip_of_half_precision_is_examined_on_actors_and_stands_on_the_board(
    ray_session, tmp_path, states, benchmark, store, make_record
):
    """As the competition's: pickles in float16, numbered; more of them than are in memory at once."""
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed in range(8):
            buffer = io.BytesIO()
            torch.save({name: value.half() for name, value in states[seed % 4].items()}, buffer)
            archive.writestr(f"kaggle/tmp/unlearned_checkpoint_{seed}.pth", buffer.getvalue())
    examination = Examination(benchmark, path, "outside", store)
    events = list(examination.run(ONE_CORE))
    assert sorted(event.seed for event in events if event.kind == "finished") == list(range(8))
    assert examination.complete
    assert list(Examination(benchmark, path, "outside", store).run(ONE_CORE)) == []
    provenance = json.loads(store.get(f"{examination.bank.folder}/examined.json"))
    assert provenance["from"] == "submission.zip"
    assert provenance["checkpoints"][3]["file"] == "kaggle/tmp/unlearned_checkpoint_3.pth"
    reference = examination.evaluation().reference
    for seed in range(8):
        reference.add(make_record(reference, seed).encode())
    board = leaderboard(examination.evaluation())
    assert board.rows[0].algorithm == "outside" and board.rows[0].score.runs == 8 and board.rows[0].cost is None
    assert "examined" in [warning.name for warning in board.rows[0].warnings]
