"""What a cluster of any size makes of 1,024 runs: the real schedule on simulated workers, with measured run times.

    python tests/benchmarks/simulation.py --store store --out docs

takes the run times of the store's benchmark (512 retrainings, and as many runs of the candidate that is named), scales
them so that a retraining takes --retrain-seconds, and writes docs/simulation.md and docs/simulation.png.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from forget512.harness.scheduling.queue import Schedule
from forget512.harness.store.backends.folder import Folder
from forget512.harness.store.listing import list_banks
from forget512.harness.store.record import decode

sys.path.append(str(Path(__file__).resolve().parent.parent))
from support.simulated import SimulatedCluster, Unit, exponential, results

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
REPEATS = 5  # of a setting that has randomness
START_SECONDS = 15.0  # an actor's: process, imports, data
LONGEST = 3.0  # times the median: what a run took beyond that was the machine's other users' doing
BACK_SECONDS = 180.0  # until a machine like one that was lost is there
SETTINGS = {
    "no faults": {},
    "a store with 0.1 s a record": {"driver_seconds": 0.1},
    "1 in 20 workers half as fast": {"slow_share": 0.05},
    "lost once in 10 h": {"per_hour": 0.1},
    "lost once an hour (a poor spot market)": {"per_hour": 1.0},
}


def measured_seconds(store: Folder, algorithm: str, runs: int) -> list[float]:
    """Of the finished runs of the largest bank of an algorithm, cut at LONGEST."""
    banks = [list(bank.finished.values()) for bank in list_banks(store) if bank.name == algorithm]
    names = max(banks, key=len, default=[])
    if len(names) < runs:
        sys.exit(f"{store} has {len(names)} runs of {algorithm}, {runs} are needed")
    seconds = np.array([decode(store.get(name)).seconds for name in sorted(names)[:runs]])
    return np.minimum(seconds, LONGEST * np.median(seconds)).tolist()


def simulate(workers: int, work: Sequence[Unit], seed: int, per_hour=0.0, slow_share=0.0, driver_seconds=0.0):
    """Makespan, and work that was lost and redone, in seconds."""
    rng = random.Random(seed)
    cluster = SimulatedCluster(
        workers,
        start_seconds=START_SECONDS,
        lifetime=exponential(rng, per_hour),
        back=BACK_SECONDS,
        slow=lambda: 2.0 if rng.random() < slow_share else 1.0,
        driver_seconds=driver_seconds,
    )
    schedule = Schedule(cluster)
    for unit in work:
        schedule.add(unit)
    done = [result.result for result in results(schedule)]
    assert sorted(done) == sorted(unit.number for unit in work), "each unit once"
    return cluster.clock, cluster.wasted_seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--candidate", default="forget_remember")
    parser.add_argument("--retrain-seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    store = Folder(options.store)
    times = {name: measured_seconds(store, name, 512) for name in ("retrain", options.candidate)}
    factor = options.retrain_seconds / statistics.median(times["retrain"])
    work = [
        Unit(name, 512 * index + number, factor * seconds)
        for index, (name, all_seconds) in enumerate(times.items())
        for number, seconds in enumerate(all_seconds)
    ]
    total = sum(unit.seconds for unit in work)

    lines = []
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label, setting in SETTINGS.items():
        repeats = REPEATS if "per_hour" in setting or "slow_share" in setting else 1
        rows = []
        for workers in SIZES:
            found = np.array([simulate(workers, work, seed, **setting) for seed in range(repeats)])
            rows.append((workers, found[:, 0].mean(), found[:, 0].min(), found[:, 0].max(), found[:, 1].mean()))
        for workers, mean, low, high, wasted in rows:
            ideal = total / workers
            spread = f" ({low / 60:.1f} … {high / 60:.1f})" if repeats > 1 else ""
            lines.append(
                f"| {label} | {workers} | {ideal / 60:.1f} | {mean / 60:.1f}{spread} | {ideal / mean:.0%} | "
                f"{wasted / total:.1%} |"
            )
        axes[0].loglog(SIZES, [row[1] / 60 for row in rows], marker="o", label=label)
        axes[1].semilogx(SIZES, [100 * total / row[0] / row[1] for row in rows], marker="o", label=label)
    axes[0].loglog(SIZES, [total / workers / 60 for workers in SIZES], "k--", label="ideal")
    axes[0].set(xlabel="GPUs", ylabel="minutes until all is done", title="Makespan")
    axes[1].set(xlabel="GPUs", ylabel="% of the ideal", title="Share of the GPUs' time that is used", ylim=(0, 105))
    axes[0].legend(fontsize=8)
    figure.savefig(options.out / "simulation.png", dpi=120)

    medians = {name: factor * statistics.median(all_seconds) for name, all_seconds in times.items()}
    text = (Path(__file__).parent / "simulation.md.txt").read_text()
    (options.out / "simulation.md").write_text(
        text.format(
            table="\n".join(lines),
            total=total / 3600,
            candidate=options.candidate,
            retrain=medians["retrain"],
            unlearn=medians[options.candidate],
            longest=max(unit.seconds for unit in work),
            start=START_SECONDS,
            back=BACK_SECONDS,
            repeats=REPEATS,
            cut=LONGEST,
            command=f"python tests/benchmarks/simulation.py --candidate {options.candidate} "
            f"--retrain-seconds {options.retrain_seconds:g}",
        )
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
