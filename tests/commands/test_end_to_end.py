"""Evaluations on real Ray, real networks and real digits, with few runs and one epoch."""

import os
import signal

import psutil
import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.results.board import leaderboard
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.record import decode
from forget512.harness.workflows.evaluation import Evaluation
from support.commands import contents, finished_records

RUNS = 4
QUICK = ["forget_remember.epochs=[1]", "forget_remember.draws=[2]"]


@pytest.fixture(scope="module")
def benchmark():
    return make_benchmark("digits", epochs=1)


@pytest.fixture(scope="module")
def quick():
    return find_algorithms(["finetune", "forget_remember"], QUICK, "digits")


@pytest.fixture(scope="module")
def done(ray_session, benchmark, quick, tmp_path_factory):
    """A finished evaluation by two actors, and its store."""
    store = tmp_path_factory.mktemp("done")
    evaluation = Evaluation(benchmark, quick, RUNS, Folder(store))
    events = list(evaluation.run(Compute("cpu", 2, 0.0)))
    return store, evaluation, events


def test_an_evaluation_fills_the_banks_and_scores_them(done):
    store, evaluation, events = done
    assert evaluation.complete
    assert len(finished_records(store)) == 3 * RUNS
    assert sorted((e.algorithm, e.seed) for e in events if e.kind == "finished") == sorted(
        (name, seed) for name in ("retrain", "finetune", "forget_remember") for seed in range(RUNS)
    )
    board = leaderboard(evaluation)
    assert [row.algorithm for row in board.rows] == [
        row.algorithm for row in sorted(board.rows, key=lambda row: -row.score.score)
    ]
    for row in board.rows:
        assert row.score.interval is None and row.score.ceiling is None  # below 8 runs
        assert "few-runs" in [warning.name for warning in row.warnings]
        assert row.cost.seconds > 0 and row.cost.share > 0


def test_a_record_keeps_forget_and_probe_logits(done, benchmark):
    store, *_ = done
    record = decode(finished_records(store)[0].read_bytes())
    assert record.forget_logits.shape == (144, 10)
    assert record.probe_retain_logits.shape == (1000, 10)
    assert record.probe_test_logits.shape == (180, 10)


def test_the_same_command_again_runs_nothing(done, benchmark, quick):
    store, *_ = done
    before = {path: path.stat().st_mtime_ns for path in finished_records(store)}
    again = Evaluation(benchmark, quick, RUNS, Folder(store))
    assert list(again.run(Compute("cpu", 2, 0.0))) == []
    assert {path: path.stat().st_mtime_ns for path in finished_records(store)} == before


def test_a_second_candidate_trains_no_reference_network(done, benchmark, tmp_path):
    store, *_ = done
    other = find_algorithms(["finetune"], ["lr=0.02"], "digits")
    events = list(Evaluation(benchmark, other, 2, Folder(store)).run(Compute("cpu", 2, 0.0)))
    assert {event.algorithm for event in events if event.kind != "joined"} == {"finetune"}
    for path in finished_records(store):  # leave the shared store as it was
        if "finetune" in path.parent.name and path.parent.name != _folder(done[1], "finetune"):
            path.unlink()


def test_results_do_not_depend_on_actors_order_or_resumption(done, benchmark, quick, tmp_path):
    store, *_ = done
    one = Compute("cpu", 1, 0.0)
    run = Evaluation(benchmark, quick[:1], 2, Folder(tmp_path)).run(one)  # fewer runs and algorithms first
    for _ in range(3):
        next(run)
    run.close()  # stopped in the middle
    list(Evaluation(benchmark, quick[::-1], RUNS, Folder(tmp_path)).run(one))
    assert contents(tmp_path) == contents(store)


def test_killing_actors_loses_nothing_finished_and_changes_no_bit(done, benchmark, quick, tmp_path):
    store, *_ = done
    evaluation = Evaluation(benchmark, quick, RUNS, Folder(tmp_path))
    killed = 0
    finished = (event for event in evaluation.run(Compute("cpu", 2, 0.0)) if event.kind == "finished")
    for number, _ in enumerate(finished):
        if number in (0, 3, 6):  # while the other actor works
            actors = [p for p in psutil.Process().children(recursive=True) if "ray::Actor" in _name(p)]
            os.kill(actors[number % len(actors)].pid, signal.SIGKILL)
            killed += 1
    assert killed == 3
    assert evaluation.complete
    assert contents(tmp_path) == contents(store)


def test_a_damaged_record_is_named_set_aside_and_run_again(done, benchmark, quick, tmp_path):
    store, *_ = done
    victim = next(p for p in finished_records(store) if "forget_remember" in p.parent.name)
    whole = contents(store)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    again = Evaluation(benchmark, quick, RUNS, Folder(store))
    assert len(again.damaged) == 1 and victim.name in again.damaged[0]
    events = again.run(Compute("cpu", 1, 0.0))
    assert [e.seed for e in events if e.kind == "finished"] == [int(victim.name[:5])]
    assert contents(store) == whole
    assert list((store / "damaged").rglob("*.safetensors"))


def test_an_algorithm_whose_first_runs_fail_alike_stops_and_the_others_go_on(ray_session, benchmark, tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def unlearning(net, retain, forget, validation):\n    print('so far')\n    return 1 / 0\n")
    some = tmp_path / "sometimes.py"
    some.write_text(
        "import torch\n"
        "def unlearning(net, retain, forget, validation):\n"
        "    if torch.rand(()) < 0.5:\n"
        "        raise ValueError('unlucky')\n"
        "    return net\n"
    )
    algorithms = find_algorithms([str(bad), str(some)], [], "digits")
    evaluation = Evaluation(benchmark, algorithms, 10, Folder(tmp_path / "store"))
    events = list(evaluation.run(Compute("cpu", 1, 0.0)))
    failed = [e for e in events if e.kind == "failed" and e.algorithm.startswith("bad@")]
    assert 3 <= len(failed) <= 4  # one may be in flight
    assert [e.algorithm for e in events if e.kind == "stopped"] == [algorithms[0].name]
    assert "ZeroDivisionError" in failed[0].text and "bad.py, line 3" in failed[0].text
    lucky = evaluation.banks[algorithms[1].name]
    assert len(lucky.readings) + len(lucky.failures) == 10 and lucky.readings
    board = leaderboard(evaluation)
    row = next(r for r in board.rows if r.algorithm.startswith("bad@"))
    assert row.score is None and row.failure.output.strip() == "so far" and "1 / 0" in row.failure.traceback
    assert not evaluation.complete
    # The candidate's own failures are not run again by the same command, unless that is asked for.
    assert not Evaluation(benchmark, algorithms, 10, Folder(tmp_path / "store")).missing(algorithms[0])
    assert Evaluation(benchmark, algorithms, 10, Folder(tmp_path / "store"), retry_failed=True).missing(algorithms[0])


def test_a_bank_short_of_its_runs_is_scored_only_when_asked(done, benchmark, quick):
    store, *_ = done
    evaluation = Evaluation(benchmark, quick, RUNS + 1, Folder(store))
    assert all(row.score is None and (row.runs, row.wanted) == (RUNS, RUNS + 1) for row in leaderboard(evaluation).rows)
    assert all(row.score is not None for row in leaderboard(evaluation, partial=True).rows)


def test_retrain_does_not_depend_on_the_original_model(benchmark):
    retrain = built_in("retrain", "digits", benchmark.recipe.hyper_parameters)
    assert retrain.from_scratch and retrain.hyper_parameters["epochs"] == 1


def _folder(evaluation, name):
    return evaluation.banks[name].folder.rpartition("/")[2]


def _name(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
