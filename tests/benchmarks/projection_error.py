"""How far projections of F to 512 runs are off, and how often their intervals cover.

    python tests/benchmarks/projection_error.py [--runs 128 64 32] [--repeats 20]
    python tests/benchmarks/projection_error.py --banks RETRAINED UNLEARNED [UNLEARNED ...]

Without --banks: simulated banks. With it: bank folders of a store (or .npz files) of many runs, cut into banks. The
truth is the mean of F of 512 against 512 runs; as it depends on each example's two marginal distributions alone,
examples are drawn independently for it, which is less noisy. The columns:

    F          that truth
    raw        mean of F of N runs / truth - 1
    projected  mean of the projections / truth - 1
    error      mean of |projection / truth - 1|
    told       the same of one who is told the exact factor between N and 512 runs and multiplies F of N runs by it
    covered    share of the 95 % intervals that hold the truth
    width      mean of log(upper end / lower end) / 2
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from forget512.harness.workflows.scoring_arrays import read_side
from forget512.scoring import COMPETITION_RUNS, epsilons, forgetting_quality, project

Bank = tuple[np.ndarray, np.ndarray]

NORMAL = np.linspace(-8, 8, 4001)  # where a shape's quantiles are tabulated, as standard normal ones
TRUTH_BANKS = 60
FACTORS = 6


def _table(quantile: Callable[[np.ndarray], np.ndarray], upper: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Quantiles, from either tail, standardised by the distribution's own mean and standard deviation."""
    return np.where(NORMAL < 0, quantile(stats.norm.cdf(NORMAL)), upper(stats.norm.sf(NORMAL)))


def _standardised(distribution: stats.rv_frozen) -> np.ndarray:
    return (_table(distribution.ppf, distribution.isf) - distribution.mean()) / distribution.std()


SHAPES = {
    "Gaussian": NORMAL,
    "Student-t(5)": _standardised(stats.t(5)),
    "Student-t(3)": _standardised(stats.t(3)),
    "skewed": -_standardised(stats.gamma(4)),
    "skewed up": _standardised(stats.gamma(4)),
}
BAD_SHARE, BAD_SHIFT, BAD_SPREAD = 0.04, -5.0, 2.0  # of runs; in units of the others' spread
CORRELATED = {"none": 0.0, "common": 0.15, "factors": 0.5}  # share of the variance that the examples have in common


@dataclass(frozen=True)
class Setting:
    """Unlearned against retrained runs: shift and spread in units of the retrained ones' spread.

    varying: spread of both over examples. bad: 4 % of the unlearned runs are bad, for all examples at once.
    """

    shape: str
    shift: float
    spread: float
    varying: float
    correlated: str
    retrained_shape: str | None = None
    bad: bool = False

    @property
    def name(self) -> str:
        shape = self.shape if self.retrained_shape is None else f"{self.shape} v {self.retrained_shape}"
        shape += ", bad runs" if self.bad else ""
        varying = f" +- {self.varying}" if self.varying else ""
        return f"{shape}; {self.shift}, {self.spread}{varying}; {self.correlated}"

    def bank(self, rng: np.random.Generator, runs: int, examples: int, independent: bool = False) -> Bank:
        """`runs` runs a side; independent: of one another's examples."""
        fixed = np.random.default_rng(zlib.crc32(self.name.encode()))
        location, scale = fixed.normal(5, 2, examples), np.exp(fixed.normal(0.2, 0.2, examples))
        shift = self.shift + self.varying * fixed.normal(size=examples)
        spread = self.spread * np.exp(0.4 * self.varying * fixed.normal(size=examples))
        loads = fixed.normal(size=(FACTORS, examples))
        loads = np.ones((1, examples)) if self.correlated == "common" else loads / np.linalg.norm(loads, axis=0)
        common = 0.0 if independent else CORRELATED[self.correlated]

        def side(shape: str) -> np.ndarray:
            z = np.sqrt(1 - common) * rng.normal(size=(runs, examples))
            z += np.sqrt(common) * rng.normal(size=(runs, len(loads))) @ loads
            return np.interp(z, NORMAL, SHAPES[shape])

        retrained, unlearned = side(self.retrained_shape or self.shape), side(self.shape)
        if self.bad:
            bad = rng.random((runs, examples if independent else 1)) < BAD_SHARE
            unlearned = np.where(bad, BAD_SHIFT + BAD_SPREAD * unlearned, unlearned)
        return location + scale * retrained, location + scale * (shift + spread * unlearned)

    def truth(self, examples: int) -> float:
        rng = np.random.default_rng(1)
        return float(np.mean([quality(*self.bank(rng, COMPETITION_RUNS, examples, True)) for _ in range(TRUTH_BANKS)]))


# (shift, spread, varying, correlated): equal, near, far, and two whose examples differ.
CASES = [
    (0.0, 1.0, 0.0, "common"),
    (0.3, 0.9, 0.0, "factors"),
    (0.8, 0.7, 0.0, "common"),
    (0.0, 0.9, 0.5, "none"),
    (0.5, 0.5, 0.5, "factors"),
]
SETTINGS = [
    *(Setting(shape, *case) for shape in ("Gaussian", "Student-t(5)", "Student-t(3)", "skewed") for case in CASES),
    Setting("Student-t(3)", 0.3, 0.7, 0.3, "factors", "Gaussian"),
    Setting("skewed", 0.3, 0.7, 0.3, "factors", "Gaussian"),
    Setting("skewed up", 0.3, 0.7, 0.3, "common", "skewed"),
    *(Setting("Gaussian", *case, bad=True) for case in CASES),
]


@dataclass(frozen=True)
class Errors:
    """Of projections from many banks of one kind, as the columns above."""

    truth: float
    raw: float
    projected: float
    error: float
    told: float
    covered: float
    width: float


def quality(retrained: np.ndarray, unlearned: np.ndarray) -> float:
    """F of these runs, as they are."""
    return forgetting_quality(epsilons(retrained, unlearned), len(retrained), len(unlearned))


def errors(truth: float, banks: Iterable[Bank]) -> Errors:
    """Project each bank and compare."""
    observed, found, intervals = [], [], []
    for k, (retrained, unlearned) in enumerate(banks):
        projection = project(retrained, unlearned, rng=np.random.default_rng(k))
        assert projection is not None
        observed.append(quality(retrained, unlearned))
        found.append(projection.quality)
        intervals.append(projection.interval)
    raw, ratios = np.array(observed), np.array(found) / truth
    low, high = np.array(intervals).T
    return Errors(
        truth=truth,
        raw=raw.mean() / truth - 1,
        projected=ratios.mean() - 1,
        error=np.abs(ratios - 1).mean(),
        told=np.abs(raw / raw.mean() - 1).mean(),
        covered=((low <= truth) & (truth <= high)).mean(),
        width=float(np.log(high / low).mean() / 2),
    )


def cut(retrained: np.ndarray, unlearned: np.ndarray, runs: int, most: int) -> Iterator[Bank]:
    """Pairs of banks of `runs` runs, each side's cut disjointly; the side with fewer banks starts again."""
    sides = [np.split(side[: len(side) // runs * runs], len(side) // runs) for side in (retrained, unlearned)]
    for k in range(min(max(len(banks) for banks in sides), most)):
        r, u = (banks[k % len(banks)] for banks in sides)
        yield r, u


def truth_of(retrained: np.ndarray, unlearned: np.ndarray) -> float:
    """Mean of F of 512 against 512 of these runs, drawn for each example by itself."""
    rng = np.random.default_rng(1)

    def some(side: np.ndarray) -> np.ndarray:
        return rng.permuted(side, axis=0)[:COMPETITION_RUNS]

    return float(np.mean([quality(some(retrained), some(unlearned)) for _ in range(TRUTH_BANKS)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[128, 64, 32])
    parser.add_argument("--repeats", type=int, default=20, help="banks a setting, or at most so many are cut")
    parser.add_argument("--examples", type=int, default=120, help="of simulated banks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--banks", type=Path, nargs="+", metavar="BANK", help="the retrained one first")
    options = parser.parse_args()
    if options.banks and len(options.banks) < 2:
        parser.error("--banks needs a retrained and at least one unlearned bank")
    for runs in options.runs:
        print(f"\nN = {runs} -> {COMPETITION_RUNS}")
        kinds = real(options.banks, runs, options.repeats) if options.banks else simulated(options, runs)
        show(kinds)


def simulated(options: argparse.Namespace, runs: int) -> Iterator[tuple[str, Errors]]:
    for setting in SETTINGS:
        rng = np.random.default_rng([options.seed, runs, zlib.crc32(setting.name.encode())])
        banks = (setting.bank(rng, runs, options.examples) for _ in range(options.repeats))
        yield setting.name, errors(setting.truth(options.examples), banks)


def real(folders: list[Path], runs: int, most: int) -> Iterator[tuple[str, Errors]]:
    """Each unlearned bank against the retrained one, and the two halves of the latter against each other."""
    retrained, *others = (read_side(folder, "--banks").columns.confidences for folder in folders)
    half = len(retrained) // 2
    sides = [(folders[0].name, retrained[:half], retrained[half:])]
    sides += [(folder.name, retrained, other) for folder, other in zip(folders[1:], others, strict=True)]
    for name, r, u in sides:
        yield f"{name} ({len(r)}, {len(u)} runs)", errors(truth_of(r, u), cut(r, u, runs, most))


def show(kinds: Iterable[tuple[str, Errors]]) -> None:
    print("| setting | F | raw | projected | error | told | covered | width |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    everything = []
    for name, e in kinds:
        everything.append(e)
        print(
            f"| {name} | {e.truth:.5f} | {e.raw:+.0%} | {e.projected:+.1%} | {e.error:.1%} | {e.told:.1%} "
            f"| {e.covered:.0%} | {e.width:.2f} |",
            flush=True,
        )
    print(
        f"| all | | | {np.mean([e.projected for e in everything]):+.1%} | {np.mean([e.error for e in everything]):.1%} "
        f"| {np.mean([e.told for e in everything]):.1%} | {np.mean([e.covered for e in everything]):.1%} | |"
    )


if __name__ == "__main__":
    main()
