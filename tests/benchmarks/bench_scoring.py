"""Times the scorer at the competition's size: python tests/benchmarks/bench_scoring.py [--examples 5000].

Gaussian confidences, 512 against 512 runs; imports and compilation are not counted. The published program
takes 3.7 s an example on two CPU cores (measured once, not by this script).
"""

from __future__ import annotations

import argparse
import resource
import time

import numba
import numpy as np

from forget512.scoring import (
    certified_epsilons,
    convergence,
    epsilons,
    exact_epsilons,
    logit_scaled_confidence,
    score,
    two_sample_tests,
)

RUNS = 512
PUBLISHED = 3.7  # seconds an example
RESAMPLES, SPLITS = 192, 8  # 200 in all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=numba.config.NUMBA_DEFAULT_NUM_THREADS)
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    examples = options.examples
    rng = np.random.default_rng(0)

    few = rng.normal(0, 1, (16, 2))
    for compiled in (epsilons, exact_epsilons, certified_epsilons, two_sample_tests, score):
        compiled(few, few + 0.1)

    logits = rng.normal(0, 3, (RUNS // 8, examples, 10)).astype(np.float32)
    targets = rng.integers(0, 10, examples)
    seconds = timed(lambda: logit_scaled_confidence(logits, targets)) * 8
    print(f"{options.threads} thread(s), {RUNS} v {RUNS} runs, {examples} examples")
    print(f"confidences of {RUNS} runs, 10 classes          {seconds:7.2f} s  (from an eighth of them)")

    retrained = rng.normal(0, 1, (RUNS, examples))
    candidates = {
        "as retrained": (0.0, 1.0),
        "shift 0.3, spread 0.9": (0.3, 0.9),
        "shift 0.8, spread 0.7": (0.8, 0.7),
    }
    for name, (shift, spread) in candidates.items():
        unlearned = rng.normal(shift, spread, (RUNS, examples))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = timed(lambda unlearned=unlearned: epsilons(retrained, unlearned))  # type: ignore[misc]
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"released epsilons, {name:<27} {seconds:7.2f} s  {1e3 * seconds / examples:.3f} ms an example, "
            f"{PUBLISHED * examples / seconds:,.0f} times the published program; at most {more:.0f} MB more"
        )
    others = {
        "exact epsilons": lambda: exact_epsilons(retrained, unlearned),
        "certified epsilons": lambda: certified_epsilons(retrained, unlearned),
        f"score, ceiling, interval ({RESAMPLES + SPLITS} resamples)": lambda: score(
            retrained, unlearned, resamples=RESAMPLES, splits=SPLITS
        ),
        "F against N": lambda: convergence(retrained, unlearned),
        "two-sample tests": lambda: two_sample_tests(retrained, unlearned),
    }
    for name, action in others.items():
        print(f"{name:<46} {timed(action):7.2f} s")


def timed(action) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
