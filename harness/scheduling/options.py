"""The options of workers with their help texts."""

from dataclasses import dataclass

from forget512.harness.benchmark.options import option


@dataclass(frozen=True)
class WorkerOptions:
    """Options of the workers; `choose_compute` checks them against the machine. None: chosen automatically."""

    device: str = option("auto", "device: auto, cpu or cuda")
    actors: int | None = option(
        None, "number of parallel workers [default: one per CPU core, or all that fit on the GPUs]"
    )
    gpus_per_run: float | None = option(None, "GPUs per worker: 1 or an exact fraction 1/k [default: 1 on a GPU]")
    address: str | None = option(
        None, "address of the Ray cluster to use [default: this machine only]", metavar="auto|ray://…|HOST:PORT"
    )
    engine: str = option(
        "auto", "how training steps are carried out: auto (the fastest engine that fits) or eager (plain PyTorch)"
    )
