"""Compute: on which devices runs are executed, and how many at once."""

import os
from dataclasses import astuple, dataclass

import torch

from forget512.harness.errors import UserError, one_of
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.scheduling.ray_session import _join, _nodes

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Compute:
    """Where runs are executed. gpus_per_run: 1/k, or 0 on the CPU, where an actor owns one core.

    actors: at once; on the cluster at `address`, as many as it had room for when the command began. most: as many as
    were asked for there; None: as it has room.
    """

    device: str
    actors: int
    gpus_per_run: float
    address: str | None = None
    most: int | None = None

    @property
    def share(self) -> float:
        """Of its device that an actor has: times are comparable where it is 1."""
        if self.device == "cuda":
            return self.gpus_per_run
        return 1.0 if self.address else min(1.0, len(_cores()) / max(1, self.actors))

    def devices(self, actors: int | None = None) -> float:
        """Whole GPUs or cores at work: what times of runs that had their device alone are divided by."""
        return (self.actors if actors is None else actors) * self.share


def choose_compute(options: WorkerOptions) -> Compute:
    """Check the options against this machine, or against the cluster at `address`, which is joined.

    Raises:
        UserError: no such device, a fraction that is not 1/k, fewer than one actor, more GPUs than there are, or no
            cluster there.
    """
    device, actors, gpus_per_run, address = astuple(options)
    one_of("--device", device, DEVICES)
    if address is not None:
        _join(address)
        here = f"the cluster at {address}"
        gpus = round(sum(node["Resources"].get("GPU", 0) for node in _nodes()))
        cores = round(sum(node["Resources"].get("CPU", 0) for node in _nodes()))
    else:
        here, gpus, cores = "this machine", torch.cuda.device_count(), len(_cores())
    if device == "cuda" and address is not None and not gpus:
        return Compute(
            "cuda", 0, 1 / _check_fraction(gpus_per_run or 1.0), address, actors
        )  # its GPUs are on their way
    if device == "cuda" and not gpus:
        raise UserError(f"--device cuda: {here} has no GPU that torch can use. Use --device cpu.")
    if actors is not None and actors < 1:
        raise UserError(f"--actors {actors}: at least 1 is needed.")
    if gpus_per_run is not None:
        _check_fraction(gpus_per_run)
    if device == "cpu" or not gpus:
        if gpus_per_run:
            raise UserError(
                f"--gpus-per-run {gpus_per_run:g}: "
                + ("--device cpu uses no GPU." if device == "cpu" else f"{here} has no GPU.")
            )
        if address is None:
            return Compute("cpu", actors or cores, 0.0)
        return Compute("cpu", min(cores, actors or cores), 0.0, address, actors)
    k = _check_fraction(gpus_per_run or 1.0)
    places = gpus * k
    if actors is not None and actors > places and address is None:
        raise UserError(
            f"--actors {actors} with --gpus-per-run {1 / k:.4g} asks for {actors / k:.4g} GPUs: {here} "
            f"has {gpus}, room for {places} actors."
        )
    return Compute("cuda", min(places, actors or places), 1 / k, address, actors)


def _check_fraction(share: float) -> int:
    """The k of a fraction 1/k, written with at least two digits (0.33, 0.1667)."""
    k = max(1, round(1 / share)) if share > 0 else 1
    if not abs(share - 1 / k) < 5e-3 / k:
        raise UserError(
            f"--gpus-per-run {share:g} is not 1/k (1, 0.5, 0.25, 0.2, …): Ray would place runs unevenly. "
            f"Use {1 / (-int(-1 // share) if 0 < share < 1 else 1):.4g}."
        )
    return k


def _cores() -> list[int]:
    """The CPU cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
