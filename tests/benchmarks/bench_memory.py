"""Peak resident memory of the driver and of each actor, while a few runs are done.

    python tests/benchmarks/bench_memory.py [--dataset digits] [--model …] [--data-dir …] [--epochs 1] [--runs 2]

Read from the kernel's high-water mark (VmHWM in /proc, Linux only) of the living processes.
"""

import argparse
import tempfile
from pathlib import Path

import psutil

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.scheduling.compute import Compute
from forget512.harness.store.backends.folder import Folder
from forget512.harness.workflows.evaluation import Evaluation


def peak_mb(pid):
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--runs", type=int, default=2)
    arguments = parser.parse_args()
    benchmark = make_benchmark(
        arguments.dataset, model=arguments.model, epochs=arguments.epochs, data_dir=arguments.data_dir
    )
    me, actors = psutil.Process(), {}
    with tempfile.TemporaryDirectory() as folder:
        algorithms = [built_in("finetune", arguments.dataset)]
        evaluation = Evaluation(benchmark, algorithms, arguments.runs, Folder(Path(folder)))
        for _ in evaluation.run(Compute("cpu", 2, 0.0)):
            for process in me.children(recursive=True):
                if "ray::Actor" in " ".join(process.cmdline()):
                    actors[process.pid] = peak_mb(process.pid)
    print(f"{arguments.dataset}, {benchmark.model}, {len(benchmark.split.retain)} retained, peak resident memory:")
    print(f"driver {peak_mb(me.pid):.0f} MB")
    for number, value in enumerate(actors.values()):
        print(f"actor {number} {value:.0f} MB")


if __name__ == "__main__":
    main()
