"""Chooses the devices that execute runs, and the number of parallel workers."""

import os
from dataclasses import astuple, dataclass

import torch

from forget512.algorithms.engines.choice import CHOICES
from forget512.harness.errors import UserError, one_of
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.scheduling.ray_session import join, nodes

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Compute:
    """Where runs are executed. gpus_per_run: 1/k, or 0 on the CPU, where a worker has one core.

    actors: number of workers; on the cluster at `address`, as many as it had room for when the command began. most: the
    number that the command asks for; None: as many as there is room for. engine: what carries out
    training steps: "auto" or "eager".
    """

    device: str
    actors: int
    gpus_per_run: float
    address: str | None = None
    most: int | None = None
    engine: str = "auto"

    @property
    def share(self) -> float:
        """The share of its device that a worker has; only times with a share of 1 are comparable."""
        if self.device == "cuda":
            return self.gpus_per_run
        return 1.0 if self.address else min(1.0, len(usable_cores()) / max(1, self.actors))

    def devices(self, actors: int | None = None) -> float:
        """The number of whole GPUs or cores at work, by which the time of runs with a device each is divided."""
        return (self.actors if actors is None else actors) * self.share


def choose_compute(options: WorkerOptions) -> Compute:
    """Check the options against this machine, or join the cluster at `address` and check them against it.

    Raises:
        UserError: there is no such device or cluster, a fraction is not 1/k, or the number of workers is below 1 or
            needs more GPUs than there are.
    """
    device, actors, gpus_per_run, address, engine = astuple(options)
    one_of("--device", device, DEVICES)
    one_of("--engine", engine, CHOICES)
    if actors is not None and actors < 1:
        raise UserError(f"--actors {actors}: at least 1 is needed.")
    k = 1 if gpus_per_run is None else _check_fraction(gpus_per_run)
    if address is None:
        here, gpus, cores = "this machine", torch.cuda.device_count(), len(usable_cores())
    else:
        join(address)
        resources = [node["Resources"] for node in nodes()]
        gpus, cores = (round(sum(each.get(name, 0) for each in resources)) for name in ("GPU", "CPU"))
        here = f"the cluster at {address}"
    if device == "cpu" or (device == "auto" and not gpus):
        if gpus_per_run:
            why = "--device cpu uses no GPU" if device == "cpu" else f"{here} has no GPU"
            raise UserError(f"--gpus-per-run {gpus_per_run:g}: {why}.")
        count = actors or cores  # on this machine there may be more workers than cores
        return Compute("cpu", count if address is None else min(count, cores), 0.0, address, actors, engine)
    room = gpus * k
    if address is None and not gpus:  # a cluster's GPUs may still join
        raise UserError(f"--device cuda: {here} has no GPU that torch can use. Use --device cpu.")
    if address is None and actors is not None and actors > room:
        raise UserError(
            f"--actors {actors} with --gpus-per-run {1 / k:.4g} needs {actors / k:.4g} GPUs: {here} "
            f"has {gpus}, room for {room} workers."
        )
    return Compute("cuda", min(room, actors or room), 1 / k, address, actors, engine)


def _check_fraction(share: float) -> int:
    """Return the k of a fraction 1/k, given with at least two digits (0.33, 0.1667)."""
    k = max(1, round(1 / share)) if share > 0 else 1
    if not abs(share - 1 / k) < 5e-3 / k:
        raise UserError(
            f"--gpus-per-run {share:g} is not 1/k (1, 0.5, 0.25, 0.2, …): Ray would place runs unevenly. "
            f"Use {1 / (-int(-1 // share) if 0 < share < 1 else 1):.4g}."
        )
    return k


def usable_cores() -> list[int]:
    """Return the CPU cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
