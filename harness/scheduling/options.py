"""The options of the workers that execute runs, each with its help text."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorkerOptions:
    """On what runs are executed; `choose_compute` checks them against the machine. None: chosen for it."""

    device: str = field(default="auto", metadata={"help": "device of the runs: auto, cpu or cuda"})
    actors: int | None = field(
        default=None,
        metadata={"help": "number of parallel workers [default: one per CPU core, or all that fit on the GPUs]"},
    )
    gpus_per_run: float | None = field(
        default=None, metadata={"help": "GPUs of each worker: 1 or an exact fraction 1/k [default: 1 on a GPU]"}
    )
    address: str | None = field(
        default=None,
        metadata={
            "metavar": "auto|ray://…|HOST:PORT",
            "help": "Ray cluster whose GPUs or cores are used [default: this machine alone]",
        },
    )
