"""Whether an engine's runs can be told from eager ones: F and joint AUC between banks of different seeds.

    python tests/benchmarks/engines/engine_gate.py --runs 256

One original model, digits. For each method, two eager banks and one by the engines that `auto` chooses, all of other
seeds (equal seeds give near copies). F of eager against engine must lie where F of eager against eager lies.
"""

from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import click
import numpy as np
import torch
from safetensors.torch import load, save

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.store.record import Provenance, RunRecord
from forget512.harness.worker.examine import Examiner
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import Unlearner, set_up_torch
from forget512.scoring import ceiling, joint, logit_scaled_confidence, score

CPU = torch.device("cpu")
PROCESSES = 2


def bank(method: str, engine: str, seeds: range, original: bytes) -> tuple[np.ndarray, set[str]]:
    """(N, S) confidences of these seeds, and the engines that carried them."""
    set_up_torch()
    benchmark = make_benchmark("digits")
    unlearner = Unlearner(benchmark.training_part, CPU, images_on=CPU, engine=engine)
    examiner = Examiner(benchmark.training_part, benchmark.examination_part, unlearner.images, CPU)
    settings = benchmark.recipe.hyper_parameters if method == "retrain" else {}
    algorithm = built_in(method, "digits", settings)
    start = None if method == "retrain" else original
    rows, engines = [], set()
    for seed in seeds:
        run = unlearner.unlearn(algorithm.function, algorithm.hyper_parameters, Seeds("gate", seed), start)
        record = RunRecord("", seed, 1, "finished", Provenance("", None, "", 1.0, run.engine, ""), seconds=0.0)
        logits = examiner.examine(run.state, record).forget_logits
        rows.append(logit_scaled_confidence(logits, benchmark.forget_targets))
        engines.add(run.engine)
    return np.array(rows), engines


@click.command()
@click.option("--runs", default=256, show_default=True, help="of each bank")
@click.option("--methods", default="retrain,finetune,forget_remember,neggrad_plus", show_default=True)
def main(runs: int, methods: str) -> None:
    """Print a row for each method and pair of banks."""
    benchmark = make_benchmark("digits")
    set_up_torch()
    unlearner = Unlearner(benchmark.training_part, CPU, images_on=CPU, engine="eager")
    retrain = built_in("retrain", "digits", benchmark.recipe.hyper_parameters)
    original = save(unlearner.train_original(retrain.function, retrain.hyper_parameters, Seeds("original", 0)))
    assert load(original)
    print(f"digits, N = {runs} a bank, torch {torch.__version__}")
    print("| method | banks | F (95 %) | ceiling of the first | joint AUC (95 %) |\n| --- | --- | --- | --- | --- |")
    with ProcessPoolExecutor(PROCESSES) as pool:
        for method in methods.split(","):
            kinds = ("eager", "eager", "auto")
            parts = [
                pool.submit(bank, method, kind, range(start, start + runs // PROCESSES), original)
                for number, kind in enumerate(kinds)
                for start in range(number * runs, (number + 1) * runs, runs // PROCESSES)
            ]
            found = [part.result() for part in parts]
            banks = [
                np.concatenate([rows for rows, _ in found[k : k + PROCESSES]]) for k in range(0, len(found), PROCESSES)
            ]
            names = ["+".join(sorted(found[k][1])) for k in range(0, len(found), PROCESSES)]
            for (first, second), (one, other) in zip(pairwise(banks), pairwise(names), strict=True):
                result, together, top = score(first, second), joint(first, second), ceiling(first)
                assert result.interval and together and top
                low, high = result.interval
                print(
                    f"| {method} | {one} v {other} | {result.forgetting_quality:.4f} ({low:.4f} … {high:.4f}) "
                    f"| {top.quality:.4f} ± {top.spread:.4f} "
                    f"| {together.auc:.2f} ({together.interval[0]:.2f} … {together.interval[1]:.2f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
