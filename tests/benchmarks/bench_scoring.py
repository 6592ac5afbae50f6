"""Times the scorer at the competition's size: python tests/benchmarks/bench_scoring.py [--examples 5000].

Gaussian confidences, 512 against 512 runs; imports and compilation are not counted. The published program
takes 3.7 s an example on two CPU cores (docs/metric.md).
"""

from __future__ import annotations

import argparse
import time

import numba
import numpy as np

from scoring import ceiling, epsilons, interval, logit_scaled_confidence

RUNS = 512
PUBLISHED = 3.7  # seconds an example


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    examples = options.examples
    rng = np.random.default_rng(0)

    few = rng.normal(0, 1, (16, 2))
    for compiled in (interval(few, few + 0.1, resamples=2), ceiling(few, splits=2)):
        assert compiled is not None

    logits = rng.normal(0, 3, (RUNS // 8, examples, 10)).astype(np.float32)
    targets = rng.integers(0, 10, examples)
    seconds = timed(lambda: logit_scaled_confidence(logits, targets)) * 8
    print(f"{options.threads} thread(s), {RUNS} v {RUNS} runs, {examples} examples")
    print(f"confidences of {RUNS} runs, 10 classes   {seconds:8.2f} s  (from an eighth of them)")

    retrained = rng.normal(0, 1, (RUNS, examples))
    candidates = {
        "as retrained": (0.0, 1.0),
        "shift 0.3, spread 0.9": (0.3, 0.9),
        "shift 0.8, spread 0.7": (0.8, 0.7),
    }
    for name, (shift, spread) in candidates.items():
        unlearned = rng.normal(shift, spread, (RUNS, examples))
        seconds = timed(lambda unlearned=unlearned: epsilons(retrained, unlearned))  # type: ignore[misc]
        print(
            f"epsilons, {name:<27}{seconds:8.2f} s  {1e3 * seconds / examples:.3f} ms an example,"
            f" {PUBLISHED * examples / seconds:,.0f} times the published program"
        )
    print(f"ceiling, 8 splits                     {timed(lambda: ceiling(retrained)):8.2f} s")
    # A tenth of the resamples, multiplied: each takes the same time.
    seconds = timed(lambda: interval(retrained, unlearned, resamples=10)) * 10
    print(f"interval, 100 resamples               {seconds:8.2f} s  (from 10 of them)")


def timed(action) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
