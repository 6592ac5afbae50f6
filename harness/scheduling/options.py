"""The options of the workers that execute runs, each with its help text."""

from dataclasses import dataclass

from forget512.harness.benchmark.options import option


@dataclass(frozen=True)
class WorkerOptions:
    """On what runs are executed; `choose_compute` checks them against the machine. None: chosen for it."""

    device: str = option("auto", "device of the runs: auto, cpu or cuda")
    actors: int | None = option(
        None, "number of parallel workers [default: one per CPU core, or all that fit on the GPUs]"
    )
    gpus_per_run: float | None = option(None, "GPUs of each worker: 1 or an exact fraction 1/k [default: 1 on a GPU]")
    address: str | None = option(
        None, "Ray cluster whose GPUs or cores are used [default: this machine alone]", metavar="auto|ray://…|HOST:PORT"
    )
