"""What an actor does with a unit of work: a record comes of it, finished or failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import load_candidates
from forget512.harness.errors import Doubtful, MachineFault
from forget512.harness.isolation.process_tree import machine_memory
from forget512.harness.store.record import ARRAYS, RunRecord, decode
from forget512.harness.worker.runner import TIMED, Runner, RunSeed, TrainOriginal
from forget512.harness.worker.seeds import Seeds


@pytest.fixture(scope="module")
def runner(training, benchmark) -> Iterator[Runner]:
    runner = Runner(training, benchmark.examination_part, "cpu", 1.0)
    yield runner
    if runner.fork_server:
        runner.fork_server.close()


@pytest.fixture
def perform(runner, original):
    """perform(algorithm, seed, attempt): the record that comes back."""

    def perform(algorithm, seed: int = 0, attempt: int = 1) -> RunRecord:
        return decode(RunSeed(algorithm, Seeds("bank", seed), attempt).perform(runner, original, None))

    return perform


def failed(record: RunRecord) -> bool:
    return record.status == "failed" and all(getattr(record, name).size == 0 for name in ARRAYS)


def test_a_run_of_ours_gives_a_finished_record(perform):
    record = perform(built_in("finetune", "tiny"), seed=3)
    assert (record.bank, record.seed, record.attempt, record.status) == ("bank", 3, 1, "finished")
    assert record.forget_logits.shape == (6, 3) and record.probe_retain_logits.shape == (54, 3)
    assert record.probe_test_logits.shape == (12, 3)
    assert record.seconds > 0 and record.error == record.traceback == record.output == ""
    assert (record.provenance.torch, record.provenance.device, record.provenance.share) == (
        torch.__version__,
        "cpu",
        1.0,
    )


def test_retraining_does_not_start_from_the_original_model(runner, original):
    work = RunSeed(built_in("retrain", "tiny", {"epochs": 1}), Seeds("bank", 0))
    one, other = (decode(work.perform(runner, start, None)) for start in (original, None))
    assert all((getattr(one, name) == getattr(other, name)).all() for name in ARRAYS)


def test_the_original_model_comes_as_bytes(runner, training, original):
    algorithm = built_in("retrain", "tiny", training.recipe.hyper_parameters)
    assert TrainOriginal(algorithm, Seeds("original", 0)).perform(runner, None, None) == original


def test_a_candidate_gives_a_finished_record_too(perform, candidate):
    record = perform(candidate("net.fc.bias.data.zero_()\nprint('hello')"), seed=3)
    assert record.status == "finished" and record.forget_logits.shape == (6, 3) and record.output == "hello\n"


def test_logits_that_are_not_finite_are_in_doubt_with_the_record_of_that_failure(perform, candidate):
    with pytest.raises(Doubtful) as doubtful:
        perform(candidate("net.fc.weight.data.fill_(float('nan'))"), seed=2)
    record = decode(doubtful.value.result)
    assert failed(record) and "not finite (NaN or infinite) for 54 of 54 retain examples" in record.error
    assert record.error == doubtful.value.reason


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("import ctypes\nctypes.string_at(0)", "its process was killed by SIGSEGV"),
        (
            "import mmap, tempfile\nfile = tempfile.TemporaryFile()\nfile.truncate(4096)\n"
            "pages = mmap.mmap(file.fileno(), 4096)\nfile.truncate(0)\npages[0]",
            "its process was killed by SIGBUS",
        ),
        ("import os\nos.abort()", "its process was killed by SIGABRT"),
        pytest.param(
            "import torch\nraise torch.AcceleratorError('CUDA error: uncorrectable ECC error encountered')",
            "AcceleratorError: CUDA error: uncorrectable ECC error encountered (idea.py, line 4)",
            marks=pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="torch before 2.8 has none"),
        ),
        (
            "raise RuntimeError('CUDA error: device-side assert triggered\\nCUDA kernel errors might be ...')",
            "RuntimeError: CUDA error: device-side assert triggered (idea.py, line 3)",
        ),
    ],
)
def test_a_crash_or_an_error_of_a_gpu_is_in_doubt_with_the_record_of_that_failure(perform, candidate, body, what):
    with pytest.raises(Doubtful) as doubtful:
        perform(candidate(f"print('so far', flush=True)\n{body}".replace("\n", "; ", 1)), seed=2, attempt=4)
    record = decode(doubtful.value.result)
    assert failed(record) and record.error == doubtful.value.reason == what and record.output.startswith("so far\n")
    assert (record.bank, record.seed, record.attempt) == ("bank", 2, 4)
    assert perform(candidate("pass", name="next_one")).status == "finished"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raise ValueError('no')", "ValueError: no (idea.py, line 3)"),
        ("raise ValueError('\\udcff')", "ValueError"),
        ("return 3", "it returned int, not a network"),
        ("return net.fc", "lacks 'conv1.weight'"),
        ("import torch\nnet.fc = torch.nn.Linear(32, 5)", "'fc.weight' came back with shape (5, 32)"),
        ("import os; os._exit(0)", "exit status 0"),
    ],
)
def test_a_candidates_failure_is_a_record_and_the_next_run_is_none_the_worse(perform, candidate, body, what):
    record = perform(candidate(body), seed=2, attempt=4)
    assert failed(record) and what in record.error and "\n" not in record.error
    assert (record.bank, record.seed, record.attempt) == ("bank", 2, 4)
    assert perform(candidate("pass", name="next_one")).status == "finished"


def test_a_candidate_that_hangs_is_stopped_and_a_method_of_ours_has_no_limit(runner, original, candidate):
    hanging = RunSeed(candidate("print('so far')\nwhile True: pass"), Seeds("bank", 2))
    record = decode(hanging.perform(runner, original, 0.3))
    assert failed(record) and record.error == "it did not finish within 0.3 s" and record.output == "so far\n"
    assert 0.3 <= record.seconds < 20
    ours = RunSeed(built_in("finetune", "tiny"), Seeds("bank", 2))
    assert decode(ours.perform(runner, original, 1e-9)).status == "finished"


def test_what_is_the_machines_fault_is_no_record_and_the_next_run_is_none_the_worse(perform, candidate):
    for body in ("os.kill(os.getpid(), 9)", "os.kill(os.getppid(), 9); time.sleep(100)", "raise MemoryError"):
        with pytest.raises(MachineFault):
            perform(candidate(f"import os, time; {body}"))
        assert perform(candidate("pass", name="next_one")).status == "finished"


def test_a_method_of_ours_for_which_memory_runs_out_is_the_machines_fault(perform, monkeypatch):
    def greedy(net, retain, forget, validation):
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(Algorithm, "function", staticmethod(greedy))
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        perform(Algorithm("greedy", "greedy", {}, source="0"))


def test_a_method_of_ours_at_which_a_gpu_reports_an_error_is_the_machines_fault(perform, monkeypatch):
    def unlucky(net, retain, forget, validation):
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    monkeypatch.setattr(Algorithm, "function", staticmethod(unlucky))
    with pytest.raises(RuntimeError, match="uncorrectable ECC error"):
        perform(Algorithm("unlucky", "unlucky", {}, source="0"))


def test_actors_on_one_machine_share_nine_tenths_of_its_memory(training, benchmark):
    runner = Runner(training, benchmark.examination_part, "cpu", 1.0, workers=3)
    assert runner.memory == pytest.approx(0.9 * machine_memory() / 3)


@pytest.mark.slow
def test_a_candidate_that_eats_more_than_its_actors_share_is_stopped(training, benchmark, original, candidate):
    workers = int(machine_memory() // 1e9)
    runner = Runner(training, benchmark.examination_part, "cpu", 1.0, workers)
    body = "held = []\nfor _ in range(60):\n    held.append(b'x' * 50_000_000)\n    time.sleep(0.05)"
    record = decode(RunSeed(candidate(body, "import time"), Seeds("bank", 0)).perform(runner, original, None))
    runner.fork_server.close()
    assert failed(record)
    assert record.error.endswith(f"the limit is {runner.memory / 1e9:.2f} GB here")


def test_a_failure_of_ours_is_a_record_with_its_traceback(perform):
    record = perform(built_in("forget_remember", "tiny", {"draws": [1, 1], "epochs": [1]}))
    assert failed(record) and record.error.startswith("ValueError: draws=(1, 1) and epochs=(1,)")
    assert "forget_remember" in record.traceback


# --- engines ---

OWN_LOOP = """
import torch
from torch.nn.functional import cross_entropy


def unlearning(net, retain, forget, validation):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for inputs, targets in retain:
        cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return net
"""
OUR_LOOP = """
from forget512.algorithms.training import train


def unlearning(net, retain, forget, validation):
    return train(net, retain, epochs=1, lr=0.01)
"""


@pytest.fixture
def of_source(tmp_path):
    """of_source(text): the candidate of a file."""

    def make(text: str) -> Algorithm:
        (tmp_path / "idea.py").write_text(text)
        return load_candidates([tmp_path / "idea.py"])[0]

    return make


def test_the_engine_is_in_the_provenance_and_the_first_runs_are_timed_eagerly_too(perform):
    first, later = (perform(built_in("finetune", "tiny"), seed=seed) for seed in (TIMED - 1, TIMED))
    assert first.provenance.engine == later.provenance.engine == "rows"
    assert first.eager_seconds > 0 and later.eager_seconds == 0


def test_a_candidates_own_loop_is_eager_and_one_that_calls_train_gets_the_engine(perform, of_source):
    own, ours = perform(of_source(OWN_LOOP)), perform(of_source(OUR_LOOP))
    assert (own.provenance.engine, own.eager_seconds) == ("eager", 0.0)
    assert ours.provenance.engine == "rows" and ours.eager_seconds > 0


def test_eager_turns_engines_off(training, benchmark, original, of_source):
    runner = Runner(training, benchmark.examination_part, "cpu", 1.0, engine="eager")
    try:
        for algorithm in (built_in("finetune", "tiny"), of_source(OUR_LOOP)):
            record = decode(RunSeed(algorithm, Seeds("bank", 0)).perform(runner, original, None))
            assert (record.provenance.engine, record.eager_seconds) == ("eager", 0.0)
    finally:
        runner.fork_server.close()


def test_seconds_of_a_shared_device_are_not_compared_so_they_are_not_taken(training, benchmark, original):
    runner = Runner(training, benchmark.examination_part, "cpu", 0.5)
    record = decode(RunSeed(built_in("finetune", "tiny"), Seeds("bank", 0)).perform(runner, original, None))
    assert record.provenance.engine == "rows" and record.eager_seconds == 0.0
