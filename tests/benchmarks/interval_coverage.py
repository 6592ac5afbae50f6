"""How often the intervals cover: python tests/benchmarks/interval_coverage.py [--pairs 1000] [--banks R U ...].

Simulated banks with known truth. A confidence is the sum of an effect that a run has on all examples at once
(a share RHO of the variance) and one of its own, Gaussian or Student-t(5); retraining has mean 0 and spread 1.
Four candidates are scored against the same reference bank: at the ceiling, two near it with the same distribution,
and one far from it. Truth is the mean over all simulated banks of that size.

--banks: instead, real runs (bank folders or .npz files), cut into disjoint banks of --cut runs.
--looks: instead, how often two equal candidates are called different by repeated looks at 32, 64, ... 512 runs.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numba
import numpy as np

from forget512.scoring import ceiling, compare, looks, score, verdicts

RHO = 0.15
PLACES = {"ceiling": (0.0, 1.0), "near": (0.3, 0.9), "far": (0.8, 0.7), "near too": (0.3, 0.9)}
PAIRS = (("near", "near too"), ("ceiling", "near"), ("near", "far"))
LAWS = ("Gaussian", "Student-t(5)")


def bank(rng: np.random.Generator, runs: int, examples: int, shift: float, spread: float, law: str) -> np.ndarray:
    """(N, S) confidences of one simulated algorithm."""
    shape = (runs, examples)
    own = rng.normal(0, 1, shape) if law == "Gaussian" else rng.standard_t(5, shape) / np.sqrt(5 / 3)
    return shift + spread * (np.sqrt(RHO) * rng.normal(0, 1, (runs, 1)) + np.sqrt(1 - RHO) * own)


def simulate(rng: np.random.Generator, runs: int, examples: int, law: str, pairs: int) -> list[dict]:
    """Scores of the candidates, by place, for each simulated reference bank."""
    found = []
    for _ in range(pairs):
        retrained = bank(rng, runs, examples, 0.0, 1.0, law)
        top = ceiling(retrained)
        found.append(
            {
                place: score(retrained, bank(rng, runs, examples, *where, law), ceiling=top)
                for place, where in PLACES.items()
            }
        )
    return found


def report(name: str, found: list[dict], pairs) -> None:  # type: ignore[no-untyped-def]
    """Print a line for each candidate and each pair."""
    truth = {place: np.mean([scores[place].score for scores in found]) for place in found[0]}
    for place in found[0]:
        values = np.array([scores[place].score for scores in found])
        covers = [s[place].interval[0] <= truth[place] <= s[place].interval[1] for s in found]
        # Half the interval's length on the logarithm against what 95 % intervals of the true spread would have.
        widths = [np.log(s[place].interval[1] / max(s[place].interval[0], 1e-12)) / 2 / 1.984 for s in found]
        relative = np.mean(widths) / np.std(np.log(np.maximum(values, 1e-12)), ddof=1)
        print(f"| {name} | {place} | {truth[place]:.4f} | {np.mean(covers):.1%} | {relative:.2f} |", flush=True)
    for first, second in pairs:
        difference = truth[first] - truth[second]
        compared = [compare(s[first], s[second]) for s in found]
        covers = [c.interval[0] <= difference <= c.interval[1] for c in compared]
        tied = np.mean([c.tied for c in compared])
        print(
            f"| {name} | {first} − {second} | {difference:+.4f} | {np.mean(covers):.1%} | tied {tied:.1%} |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--runs", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--laws", nargs="+", default=LAWS, choices=LAWS)
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--looks", action="store_true")
    parser.add_argument("--banks", type=Path, nargs="+")
    parser.add_argument("--cut", type=int, default=64)
    options = parser.parse_args()
    numba.set_num_threads(1)  # few examples; run the laws side by side instead
    if options.looks:
        return repeated_looks(options)
    print("| setting | what | truth | coverage of nominal 95 % | width against the true spread |")
    print("| --- | --- | --- | --- | --- |")
    if options.banks:
        return real_banks(options)
    for runs in options.runs:
        for law in options.laws:
            rng = np.random.default_rng([runs, LAWS.index(law)])
            report(f"{law}, N = {runs}", simulate(rng, runs, options.examples, law, options.pairs), PAIRS)


def real_banks(options: argparse.Namespace) -> None:
    """Disjoint banks of real runs; the mean over them stands for the truth."""
    from forget512.harness.exchange.arrays import read_side

    sides = [read_side(path, "--banks").columns.confidences for path in options.banks]
    count = min(map(len, sides)) // options.cut
    found = []
    for k in range(count):
        rows = slice(k * options.cut, (k + 1) * options.cut)
        top = ceiling(sides[0][rows])
        found.append(
            {
                path.stem: score(sides[0][rows], side[rows], ceiling=top)
                for path, side in zip(options.banks[1:], sides[1:], strict=True)
            }
        )
    report(f"{count} disjoint banks, N = {options.cut}", found, tuple(combinations(found[0], 2)))


def repeated_looks(options: argparse.Namespace) -> None:
    """Two candidates with the same distribution: how often does any look call them different?"""
    print("| law | place | called different at some look | settled as tied | mean runs when settled |")
    print("| --- | --- | --- | --- | --- |")
    sizes = looks(max(options.runs))
    for law in options.laws:
        for place in ("ceiling", "near", "far"):
            rng = np.random.default_rng([LAWS.index(law), list(PLACES).index(place)])
            states, stops = [], []
            for _ in range(options.pairs):
                sides = [
                    bank(rng, sizes[-1], options.examples, *where, law) for where in ((0, 1), *[PLACES[place]] * 2)
                ]
                for size in sizes:
                    top = ceiling(sides[0][:size])
                    scores = [score(sides[0][:size], side[:size], ceiling=top) for side in sides[1:]]
                    verdict = verdicts(scores, 0.1 * top.quality, len(sizes))[0]
                    if verdict.state != "open":
                        break
                states.append(verdict.state)
                stops.append(size)
            print(
                f"| {law} | {place} | {np.mean([s == 'decided' for s in states]):.1%} | "
                f"{np.mean([s == 'tied' for s in states]):.1%} | {np.mean(stops):.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
