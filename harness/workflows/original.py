"""Trains the benchmark's original model where the store has none."""

from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.scheduling.compute import Compute
from forget512.harness.scheduling.queue import Lost, Schedule
from forget512.harness.scheduling.ray_pool import Pool
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.originals import keep_original, load_original, original_key
from forget512.harness.worker.runner import Runner, TrainOriginal
from forget512.harness.worker.seeds import Seeds


def ensure_original(benchmark: Benchmark, store: Store, compute: Compute) -> bytes:
    """The benchmark's original model from the store, as safetensors; trained and kept there if it has none.

    Raises:
        UserError: the machine failed to train it.
    """
    retrain = built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)
    found = load_original(store, benchmark, retrain)
    if found is not None:
        return found
    pool = Pool(compute, Runner, benchmark.training_part, benchmark.examination_part)
    try:
        schedule = Schedule(pool)
        schedule.add(TrainOriginal(retrain, Seeds(original_key(benchmark, retrain), 0)))
        [result] = [done.result for done in schedule.results()]
    finally:
        pool.close()
    if isinstance(result, Lost):
        raise UserError(f"the original model could not be trained: {result.reason}.")
    return keep_original(store, benchmark, retrain, result)
