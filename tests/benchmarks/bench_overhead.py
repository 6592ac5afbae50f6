"""What share of their time two actors are at work, for runs of a given length. Start-up is not counted.

    python tests/benchmarks/bench_overhead.py --seconds 2 --runs 40

A candidate that waits so long is evaluated as any other: in a fork of the actor's server, its network examined, its
record kept before the next result is taken. Each unit of work writes down when it began and ended in the actor.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.files import load_candidates
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.backends.folder import Folder
from forget512.harness.worker.runner import RunSeed
from forget512.harness.workflows import evaluation as evaluations

TIMELINE = "FORGET512_TIMELINE"


@dataclass(frozen=True)
class TimedRun(RunSeed):
    """A run that writes when it began and ended, on the clock that all processes of a machine share."""

    def perform(self, runner, original, limit):
        began = time.monotonic()
        result = super().perform(runner, original, limit)
        line = json.dumps({"actor": os.getpid(), "began": began, "ended": time.monotonic(), "of": self.algorithm.name})
        with open(os.environ[TIMELINE], "a") as file:
            file.write(f"{line}\n")
        return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=40)
    options = parser.parse_args()
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    evaluations.RunSeed = TimedRun
    with tempfile.TemporaryDirectory() as folder:
        timeline = Path(folder) / "timeline.jsonl"
        os.environ[TIMELINE] = str(timeline)
        candidate = Path(folder) / "wait.py"
        candidate.write_text(
            f"import time\n\n\ndef unlearning(net, retain, forget, validation):\n    time.sleep({options.seconds})\n"
        )
        benchmark = make_benchmark("digits", epochs=1)
        evaluation = evaluations.Evaluation(
            benchmark, load_candidates([candidate]), options.runs, Folder(Path(folder) / "store")
        )
        for event in evaluation.run(Compute("cpu", 2, 0.0)):
            if event.kind in ("failed", "lost"):
                sys.exit(event.text)
        lines = [json.loads(line) for line in timeline.read_text().splitlines()]
    lines = [line for line in lines if line["of"] != "retrain"]
    shares, gaps = [], []
    for actor in {line["actor"] for line in lines}:
        own = sorted((line for line in lines if line["actor"] == actor), key=lambda line: line["began"])[1:]
        span = own[-1]["ended"] - own[0]["began"]
        shares.append(sum(line["ended"] - line["began"] for line in own) / span)
        gaps += [after["began"] - before["ended"] for before, after in itertools.pairwise(own)]
    lengths = np.array([line["ended"] - line["began"] for line in lines])
    print(
        f"{len(lines)} runs that wait {options.seconds:g} s, two actors: a run with its fork and its examination takes "
        f"{np.median(lengths):.3f} s (median, {lengths.min():.3f} to {lengths.max():.3f})"
    )
    print(f"from one run to the next: {1000 * np.median(gaps):.1f} ms (median), {1000 * max(gaps):.1f} ms at most")
    print("at work " + ", ".join(f"{share:.2%}" for share in sorted(shares)) + " of their time")


if __name__ == "__main__":
    main()
