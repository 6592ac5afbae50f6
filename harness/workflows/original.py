"""Trains the benchmark's original model if the store has none."""

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.originals import load_original
from forget512.harness.workflows.filling import Filling


class OriginalTraining(Filling):
    """Trains the original model, if needed."""

    runs = 1
    filled = ()

    def __init__(self, benchmark: Benchmark, store: Store):
        super().__init__(benchmark, store)
        self.original = load_original(store, benchmark, self.retrain)
        self.units = [] if self.original else [self.train_original()]

    def progress(self) -> dict[str, tuple[int, int]]:
        return {"original": (int(self.original is not None), 1)}
