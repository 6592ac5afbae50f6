"""Trains the benchmark's original model where the store has none."""

from collections.abc import Sequence

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.scheduling.queue import Work
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.bank import Bank
from forget512.harness.store.originals import load_original
from forget512.harness.workflows.filling import Filling


class OriginalTraining(Filling):
    """One training, if it is needed. original: the model's safetensors bytes; None until it is there."""

    runs = 1
    filled: Sequence[Bank] = ()

    def __init__(self, benchmark: Benchmark, store: Store):
        super().__init__(benchmark, store)
        self.original = load_original(store, benchmark, self.retrain)
        self._waiting = [] if self.original else [self.train_original()]

    def more(self, waiting: int, workers: int) -> Sequence[Work]:
        units, self._waiting = self._waiting, []
        return units

    def progress(self) -> dict[str, tuple[int, int]]:
        return {"original": (int(self.original is not None), 1)}

    def keep_original(self, trained: bytes) -> bytes:
        self.original = super().keep_original(trained)
        return self.original
