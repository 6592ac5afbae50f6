"""Examines checkpoints of an outside program into a bank, which is scored like any other."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from forget512.algorithms import ALGORITHMS
from forget512.harness.benchmark import networks
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.errors import UserError
from forget512.harness.exchange.checkpoints import Checkpoint, NotACheckpoint, as_named, list_checkpoints, read_state
from forget512.harness.hashing import canonical_json, sha256
from forget512.harness.scheduling.queue import Work
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import Bank
from forget512.harness.store.layout import EXAMINED
from forget512.harness.store.listing import list_banks
from forget512.harness.store.record import RunRecord, failed
from forget512.harness.worker.examine import NotExaminable
from forget512.harness.worker.runner import Runner
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.filling import Filling

AHEAD = 2  # checkpoints in memory, for each worker
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ExamineCheckpoint:
    """Examine one checkpoint; returns the encoded record, which is failed if it does not fit the benchmark.

    bank, name: its bank's key and name. file: the checkpoint's name. limit: bytes that its tensors may have.
    """

    bank: str
    seed: int
    file: str
    data: bytes
    limit: int
    name: str
    original = None

    @property
    def kind(self) -> str:
        return self.bank

    def perform(self, runner: Runner, original: bytes | None, limit: float | None) -> bytes:
        # It was made elsewhere, so the engine and the seconds are unknown.
        provenance = replace(runner.provenance, engine="examined", share=1.0)
        record = RunRecord(self.bank, self.seed, 1, "finished", provenance, seconds=0.0)
        try:
            state = as_named(read_state(self.data, self.limit), runner.examiner.net.state_dict())
            return runner.examiner.examine(state, record).encode()
        except (NotACheckpoint, NotExaminable) as error:
            return failed(record, f"{self.file}: {error}").encode()


class Examination(Filling):
    """Examines N checkpoints into the bank `name` of a benchmark. A seed is a checkpoint's index among them.

    The bank's identity is its name and the checkpoints' hashes; which original model they started from is not known
    here. Opening reads every checkpoint once, for its hash; `run` reads those again that are not in the bank yet.
    """

    def __init__(self, benchmark: Benchmark, path: Path, name: str, store: Store, mode: str = "released"):
        """Raises UserError if the name is taken or invalid, there are fewer than 2 checkpoints, or a zip is refused."""
        if not NAME.fullmatch(name) or name in ALGORITHMS:
            raise UserError(
                f"--as {name!r}: give a name of letters, digits, '.', '_' and '-' that no built-in algorithm has."
            )
        net = networks.build(benchmark.model, benchmark.dataset.classes, benchmark.dataset.image_shape)
        self.limit = 2**20 + 4 * sum(4 * value.numel() for value in net.state_dict().values())
        super().__init__(benchmark, store)
        self.path, self.mode = path, mode
        self.checkpoints = list_checkpoints(path, self.limit)
        if len(self.checkpoints) < 2:
            raise UserError(f"{path} holds 1 checkpoint: at least 2 are needed (512 for a full score).")
        self.runs = len(self.checkpoints)
        self.digests = [sha256(checkpoint.read()) for checkpoint in self.checkpoints]
        self.bank = Bank(store, benchmark, Algorithm(name, name, {}, sha256(self.digests)), None, mode)
        for other in list_banks(store, benchmark.fingerprint):
            if other.name == name and other.folder != self.bank.folder:
                raise UserError(
                    f"--as {name} is the name of other checkpoints in this store ({other.folder}): choose another name."
                )
        self.bank.refresh()
        self.filled = [self.bank]
        self._waiting: Iterator[int] | None = None

    @property
    def missing(self) -> list[int]:
        """Return the seeds of checkpoints that were not examined yet; those that do not fit are excluded."""
        known = self.bank.readings.keys() | {failure.seed for failure in self.bank.failures}
        return [seed for seed in range(len(self.checkpoints)) if seed not in known]

    @property
    def complete(self) -> bool:
        return len(self.bank.readings) == len(self.checkpoints)

    def evaluation(self) -> Evaluation:
        """Return the bank, and the reference's runs in the store, for a board."""
        found = Evaluation(self.benchmark, [], len(self.checkpoints), self.store, mode=self.mode)
        found.banks[self.bank.algorithm.name] = self.bank
        return found

    def progress(self) -> dict[str, tuple[int, int]]:
        return {self.bank.name: (len(self.bank.readings), self.runs)}

    def to_run(self) -> dict[str, int]:
        return {self.bank.name: len(self.missing)}

    def more(self, waiting: int, workers: int) -> list[Work]:
        """Read the next checkpoints; only a few are in memory at a time.

        Raises:
            UserError: a checkpoint cannot be read, or has changed since it was hashed.
        """
        if self._waiting is None:
            self._waiting = iter(self.missing)
            if self.missing:
                self._describe()
        room = AHEAD * max(workers, 1) - waiting
        return [self._work(seed, self.checkpoints[seed]) for seed in islice(self._waiting, max(room, 0))]

    def loss(self, work: Any, reason: str) -> str:
        return f"{work.file}: {reason}"

    def _describe(self) -> None:
        """Save the checkpoints' names and hashes, before their records."""
        provenance = {
            "from": self.path.name,
            "checkpoints": [
                {"seed": seed, "file": checkpoint.name, "sha256": digest}
                for seed, (checkpoint, digest) in enumerate(zip(self.checkpoints, self.digests, strict=True))
            ],
        }
        self.store.put_if_absent(f"{self.bank.folder}/{EXAMINED}", canonical_json(provenance).encode())

    def _work(self, seed: int, checkpoint: Checkpoint) -> ExamineCheckpoint:
        data = checkpoint.read()
        if sha256(data) != self.digests[seed]:
            raise UserError(f"{checkpoint.name} has changed since it was first read: rerun the command.")
        return ExamineCheckpoint(self.bank.key, seed, checkpoint.name, data, self.limit, self.bank.name)
