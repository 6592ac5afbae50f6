"""`open_store`: what it reads is what the commands show, without torch, Ray, data or candidates' code."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from forget512 import UserError, open_store
from forget512.harness.store.record import decode
from forget512.scoring import MODES, compare, score
from support.commands import run_cli
from support.synthetic import describe, fill

RUNS, EXAMPLES = 12, 20
CANDIDATES = {"finetune": (1.0, 0.5), "forget_remember": (0.1, 0.9)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("reading") / "store"
    fill(root, describe(EXAMPLES), CANDIDATES, RUNS)
    return root


@pytest.fixture(scope="module")
def benchmark(folder):
    return open_store(folder).benchmark()


def test_the_banks_are_listed_with_the_reference_first(benchmark):
    assert list(benchmark) == ["retrain", "finetune", "forget_remember"]
    assert benchmark.reference.name == "retrain"
    assert {name: len(bank) for name, bank in benchmark.items()} == dict.fromkeys(benchmark, RUNS)
    assert benchmark["finetune"].hyper_parameters == {"number": 1}
    assert "finetune" in benchmark and "finetun" not in benchmark


def test_arrays_are_those_of_the_records(benchmark, folder):
    bank = benchmark["finetune"]
    logits, confidences = bank.logits(), bank.confidences()
    assert logits.shape == (RUNS, EXAMPLES, 10) and logits.dtype == np.float32
    assert confidences.shape == (RUNS, EXAMPLES) and confidences.dtype == np.float64
    [path] = folder.glob("**/*finetune*/00003.finished.safetensors")
    record = decode(path.read_bytes())
    assert np.array_equal(logits[3], record.forget_logits)
    expected = MODES["exact"].confidence(logits[3], benchmark.forget_targets)
    assert np.array_equal(bank.confidences(mode="exact")[3], expected)
    assert np.array_equal(bank.confidences(runs=5), confidences[:5])


def test_a_table_has_a_row_for_each_run(benchmark):
    pandas = pytest.importorskip("pandas")
    table = benchmark["finetune"].runs()
    assert isinstance(table, pandas.DataFrame) and table.seed.tolist() == list(range(RUNS))
    assert {"test_accuracy", "seconds", "torch", "host"} <= set(table)


def test_scores_are_those_of_the_arrays_and_of_the_leaderboard(benchmark, folder):
    pytest.importorskip("pandas")
    table = benchmark.leaderboard().set_index("algorithm")
    shown = json.loads(run_cli("leaderboard", "--store", str(folder), "--format", "json").stdout)["boards"][0]
    sides = {name: benchmark[name] for name in benchmark}
    accuracies = {name: bank.runs() for name, bank in sides.items()}
    own = {}
    for row in shown["algorithms"]:
        name = row["algorithm"]
        own[name] = score(
            sides["retrain"].confidences(),
            sides[name].confidences(),
            **{
                f"{side}_{kind}_accuracy": accuracies[of][f"{kind}_accuracy"].to_numpy()
                for side, of in (("retrained", "retrain"), ("unlearned", name))
                for kind in ("retain", "test")
            },
        )
        found = benchmark.score(name)
        assert found.score == own[name].score == row["score"]["score"] == table.score[name]
        assert found.interval == own[name].interval == tuple(row["score"]["interval"])
    pair = benchmark.compare("forget_remember", "finetune")
    assert pair == compare(own["forget_remember"], own["finetune"]) and pair.difference > 0


def test_fewer_runs_and_another_mode_are_scored_on_demand(benchmark):
    assert benchmark.score("finetune", runs=8).runs == 8
    assert benchmark.score("finetune", mode="exact").mode == "exact"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda benchmark: benchmark["finetun"], "Did you mean 'finetune'"),
        (lambda benchmark: benchmark.score("retain"), "bank"),
        (lambda benchmark: benchmark["finetune"].confidences(runs=0), "no finished run with a seed below 0"),
        (lambda benchmark: benchmark.score("finetune", runs=1), "needs 2 on each side"),
        (lambda benchmark: benchmark.score("finetune", mode="exakt"), "Did you mean 'exact'"),
    ],
)
def test_a_mistake_is_one_sentence(benchmark, ask, message):
    with pytest.raises(UserError, match=message):
        ask(benchmark)


def test_several_benchmarks_are_told_apart_by_fingerprint(tmp_path):
    for epochs in (30, 31):
        fill(tmp_path, describe(EXAMPLES, epochs), {"finetune": (1.0, 0.5)}, 3)
    store = open_store(tmp_path)
    found = {each.identity["recipe"]["epochs"]: each.fingerprint for each in store.benchmarks}
    assert set(found) == {30, 31}
    assert store.benchmark(found[31][:8]).fingerprint == found[31]
    with pytest.raises(UserError, match="several benchmarks"):
        store.benchmark()


def test_a_store_that_does_not_exist_is_not_made(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        open_store(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_record_is_named_and_not_counted(tmp_path):
    folders = fill(tmp_path, describe(EXAMPLES), {"finetune": (1.0, 0.5)}, 9)
    (folders["finetune"] / "00004.finished.safetensors").write_bytes(b"not a record")
    bank = open_store(tmp_path).benchmark()["finetune"]
    with pytest.warns(UserWarning, match="00004.finished.safetensors: .* it is not counted"):
        assert len(bank.confidences()) == 8


def test_reading_loads_neither_torch_nor_ray(folder):
    code = (
        "import sys; from forget512 import open_store; b = open_store(sys.argv[1]).benchmark(); b.score('finetune');"
        "b['finetune'].logits(); print({'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
