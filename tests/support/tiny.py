"""A tiny benchmark (8 × 8 images in 3 classes), its original model, stores and records."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from forget512.algorithms import retrain
from forget512.harness.benchmark.benchmark import Benchmark, TrainingPart
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import load_candidates
from forget512.harness.hashing import sha256
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import keep_examination, keep_original
from forget512.harness.store.record import Provenance, RunRecord, failed
from forget512.harness.views.console import console
from forget512.harness.worker.fork_client import ForkServer
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import Unlearner
from forget512.harness.workflows.evaluation import Evaluation

CLASSES = 3


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As in an actor: sums have one order."""
    torch.set_num_threads(1)


def tiny_arrays(train: int = 60, test: int = 24) -> dict[str, np.ndarray]:
    """Images whose brightness shows their class, named as by Keras."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        y = np.arange(count) % CLASSES
        arrays[f"x_{part}"] = (60 * y[:, None, None, None] + rng.integers(0, 70, (count, 8, 8, 1))).astype(np.uint8)
        arrays[f"y_{part}"] = y.astype(np.int64)
    return arrays


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """The four arrays of the tiny data set, which a test may change."""
    return tiny_arrays()


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """npz(x_test=…, y_test=None): the tiny data set's file with some arrays replaced, or left out (None)."""

    def make(name: str = "tiny.npz", **changes: Any) -> Path:
        path = tmp_path / name
        arrays = {key: value for key, value in {**tiny_arrays(), **changes}.items() if value is not None}
        np.savez(path, **arrays)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set's file, which a test must not change."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, **tiny_arrays())
    return path


@pytest.fixture(scope="session")
def make_tiny(tiny_npz: Path) -> Callable[..., Benchmark]:
    """make_tiny(epochs=2, …): a benchmark on the tiny data set."""

    def make(dataset: Path = tiny_npz, *, model: str = "resnet8-thin", epochs: int = 2, **options: Any) -> Benchmark:
        return make_benchmark(str(dataset), model=model, epochs=epochs, **options)

    return make


@pytest.fixture(scope="session")
def benchmark(make_tiny: Callable[..., Benchmark]) -> Benchmark:
    """54 retained, 6 forgotten, 12 validation and 12 test images."""
    return make_tiny()


@pytest.fixture(scope="session")
def training(benchmark: Benchmark) -> TrainingPart:
    """The tiny benchmark's training part with batches of 16: 54 retained images are 16 + 16 + 16 + 6."""
    part = benchmark.training_part
    return dataclasses.replace(part, recipe=dataclasses.replace(part.recipe, batch_size=16))


@pytest.fixture(scope="session")
def unlearner(training: TrainingPart) -> Unlearner:
    return Unlearner(training, torch.device("cpu"), images_on=torch.device("cpu"))


@pytest.fixture(scope="session")
def original(unlearner: Unlearner) -> bytes:
    """The safetensors bytes of an original model of the tiny benchmark."""
    recipe = unlearner.training.recipe
    return save(unlearner.train_original(retrain, recipe.hyper_parameters, Seeds("original", 0)))


class ServerFromOriginal(ForkServer):
    """A fork server all of whose runs start from one original model."""

    def __init__(self, training: TrainingPart, original: bytes, device: str):
        super().__init__(training, device)
        self.original = original

    def run(self, algorithm: Algorithm, seeds: Seeds, timeout: float | None = None) -> Any:
        return super().run(algorithm, seeds, self.original, timeout)


@pytest.fixture(scope="module")
def server(training: TrainingPart, original: bytes) -> Iterator[ForkServer]:
    """A fork server on the tiny benchmark, for the runs of a module's tests."""
    made = ServerFromOriginal(training, original, "cpu")
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


PROVENANCE = Provenance(torch="2.6", cuda=None, device="cpu", share=1.0, engine="eager", host="here")


@pytest.fixture(scope="session")
def make_record() -> Callable[..., RunRecord]:
    """make_record(bank, seed, share=0.5, seconds=3.0, …): a finished run's record; its logits come from its seed.

    bank: a Bank, whose key and forget set it takes, or a key.
    """

    def make(bank: Bank | str, seed: int = 0, *, share: float = 1.0, examples: int = 6, **changes: Any) -> RunRecord:
        rng = np.random.default_rng(seed)
        if isinstance(bank, Bank):
            examples = len(bank.benchmark.forget_targets)
        values: dict[str, Any] = {
            "bank": bank.key if isinstance(bank, Bank) else bank,
            "seed": seed,
            "attempt": 1,
            "status": "finished",
            "provenance": dataclasses.replace(PROVENANCE, share=share),
            "seconds": 1.0,
            "retain_accuracy": 0.9,
            "forget_accuracy": 0.8,
            "validation_accuracy": 0.7,
            "test_accuracy": 0.6,
            "forget_logits": rng.normal(size=(examples, CLASSES)).astype(np.float32),
            "probe_retain_logits": rng.normal(size=(54, CLASSES)).astype(np.float32),
            "probe_test_logits": rng.normal(size=(12, CLASSES)).astype(np.float32),
        }
        return RunRecord(**{**values, **changes})

    return make


@pytest.fixture
def candidate(tmp_path: Path) -> Callable[..., Algorithm]:
    """candidate(body, head, name): loads a user's file whose `unlearning` has this body."""

    def make(body: str = "pass", head: str = "", name: str = "idea", parameters: str = "") -> Algorithm:
        folder = tmp_path / "user"
        folder.mkdir(exist_ok=True)
        lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
        path = folder / f"{name}.py"
        path.write_text(f"{head}\ndef unlearning(net, retain, forget, validation{parameters}):\n{lines}")
        return load_candidates([path])[0]

    return make


def logits(rng: np.random.Generator, targets: np.ndarray, shift: float, spread: float) -> np.ndarray:
    """One run's (S, 3) float32 logits whose confidences are N(shift, spread)."""
    found = np.zeros((len(targets), 3), dtype=np.float32)
    found[np.arange(len(targets)), targets] = np.log(2) + shift + spread * rng.normal(size=len(targets))
    return found


def examined(benchmark: Benchmark, original: bytes, make_record: Callable[..., RunRecord]) -> bytes:
    """The encoded record of an original model's examination, which knows the forget set best."""
    rng = np.random.default_rng(0)
    values = {
        "forget_logits": logits(rng, benchmark.forget_targets, 3.0, 0.1),
        **{f"probe_{name}_logits": logits(rng, t, 0.0, 1.0) for name, t in benchmark.probe_targets.items()},
    }
    return make_record(sha256(original), **values).encode()


@pytest.fixture
def filled(make_tiny, original, store, make_record) -> Callable[..., Evaluation]:
    """filled(runs, finetune=(1.0, 0.5, N), forget_remember=(0.2, 0.9, N)): an evaluation with all its runs."""
    tiny = make_tiny(forget_fraction=0.5)  # 30 forgotten

    def fill(bank: Bank, shift: float, spread: float, runs: int) -> None:
        rng = np.random.default_rng([round(100 * shift), round(100 * spread)])
        for seed in range(runs):
            values = logits(rng, tiny.forget_targets, shift, spread)
            probes = {
                f"probe_{name}_logits": logits(rng, targets, shift, spread)
                for name, targets in tiny.probe_targets.items()
            }
            bank.add(make_record(bank, seed, forget_logits=values, **probes).encode())

    def make(runs: int, mode: str = "released", reference: int | None = None, **candidates) -> Evaluation:
        names = [name for name in candidates if name != "floor"]
        algorithms = [built_in(name, tiny.dataset.name) for name in names]
        first = Evaluation(tiny, algorithms, runs, store)
        keep_original(store, tiny, first.retrain, original)
        keep_examination(store, tiny.fingerprint, examined(tiny, original, make_record))
        first = Evaluation(tiny, algorithms, runs, store)
        fill(first.reference, 0.0, 1.0, reference or runs)
        for name in names:
            fill(first.banks[name], *candidates[name])
        if "floor" in candidates:
            fill(first.floor, *candidates["floor"])
        return Evaluation(tiny, algorithms, runs, store, mode=mode)

    return make


@dataclasses.dataclass(frozen=True)
class Filled:
    """A store with all runs, so commands that use it train nothing. A test must copy it before changing it.

    options: of `evaluate`, for its benchmark. idea: a candidate's file that has runs in it.
    """

    store: Path
    benchmark: Benchmark
    options: list[Any]
    idea: Path
    runs: int = 16

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.store, to))


@pytest.fixture(scope="session")
def filled_store(make_tiny, tiny_npz, make_record, original, tmp_path_factory) -> Filled:
    """16 runs of retrain, of two settings of finetune, and of a candidate; 15 of forget_remember, whose 16th failed."""
    folder = tmp_path_factory.mktemp("filled")
    tiny = make_tiny(forget_fraction=0.5)  # 30 forgotten
    store = Folder(folder / "store")
    retrained = built_in("retrain", tiny.dataset.name, tiny.recipe.hyper_parameters)
    keep_original(store, tiny, retrained, original)
    keep_examination(store, tiny.fingerprint, examined(tiny, original, make_record))
    idea = folder / "idea.py"
    idea.write_text(
        "SECRET = 'shown to all'\n\n\ndef unlearning(net, retain, forget, validation, lr=0.1):\n    return net\n"
    )
    finetune = built_in("finetune", tiny.dataset.name)

    for number, (algorithm, shift, spread) in enumerate(
        [
            (retrained, 0.0, 1.0),
            (finetune, 1.5, 0.4),
            (dataclasses.replace(finetune, hyper_parameters={**finetune.hyper_parameters, "lr": 0.5}), 1.0, 0.6),
            (built_in("forget_remember", tiny.dataset.name), 0.1, 0.95),
            (load_candidates([idea])[0], 0.1, 0.9),
        ]
    ):
        bank = Bank(store, tiny, algorithm, sha256(original))
        for seed in range(16):
            if algorithm.name == "forget_remember" and seed == 5:
                bank.add(failed(make_record(bank, seed), "ValueError: no such layer").encode())
                continue
            rng = np.random.default_rng([number, seed])
            targets = {"forget": tiny.forget_targets, **tiny.probe_targets}
            outputs = {name: logits(rng, classes, shift, spread) for name, classes in targets.items()}
            accuracies = {
                f"{name}_accuracy": float((values.argmax(1) == targets[name]).mean())
                for name, values in outputs.items()
            }
            names = {"forget": "forget_logits", "retain": "probe_retain_logits", "test": "probe_test_logits"}
            arrays = {names[name]: values for name, values in outputs.items()}
            bank.add(make_record(bank, seed, **arrays, **accuracies).encode())
    options = ["--dataset", tiny_npz, "--model", "resnet8-thin", "--epochs", 2, "--forget-fraction", 0.5, "--runs", 16]
    return Filled(folder / "store", tiny, options, idea)


@pytest.fixture
def shown() -> Callable[[Any], str]:
    """shown(renderable): its text on one line."""

    def show(renderable: Any) -> str:
        out = console()
        with out.capture() as capture:
            out.print(renderable)
        return " ".join(capture.get().split())

    return show


@pytest.fixture
def small_group() -> Iterator[tuple[int, Path]]:
    """A control group with little memory and no swap: its limit in bytes, and the file that takes a process's id."""
    limit = 400 << 20
    for mount, controllers, name, swap in (
        (Path("/sys/fs/cgroup/memory"), ":memory:", "memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", limit)),
        (Path("/sys/fs/cgroup"), "0::", "memory.max", ("memory.swap.max", 0)),
    ):
        try:
            lines = Path("/proc/self/cgroup").read_text().splitlines()
            path = next(line.split(":", 2)[2] for line in lines if controllers in line)
            group = mount / path.lstrip("/") / f"forget512-test-{os.getpid()}"
            group.mkdir()
        except (OSError, StopIteration):
            continue
        try:
            (group / name).write_text(str(limit))
            if (group / swap[0]).exists():
                (group / swap[0]).write_text(str(swap[1]))
            yield limit, group / "cgroup.procs"
            return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("no control group can be made here")


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """write(text, name): a user's file."""

    def make(text: str | bytes, name: str = "idea.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return make
