"""Ray actors and the pull loop. The only file that knows Ray; it knows nothing of what the work is."""

import logging
import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import torch

from harness.errors import UserError, one_of

TRIES = 3  # of one unit of work, where the machine is at fault
DEVICES = ("auto", "cpu", "cuda")


class Work(Protocol):
    """A unit of work. `original` is what the units of a command share."""

    def perform(self, runner: Any, original: bytes | None) -> bytes: ...


@dataclass(frozen=True)
class Lost:
    """A unit of work that the machine failed to do."""

    reason: str


@dataclass(frozen=True)
class Compute:
    """Where runs are executed. gpus_per_run: 1/k, or 0 on the CPU, where an actor owns one core."""

    device: str
    actors: int
    gpus_per_run: float

    @property
    def share(self) -> float:
        """Of its device that an actor has: times are comparable where it is 1."""
        return self.gpus_per_run if self.device == "cuda" else min(1.0, len(_cores()) / self.actors)

    @property
    def devices(self) -> float:
        """Whole GPUs or cores at work: what times of runs that had their device alone are divided by."""
        return self.actors * self.share


def choose_compute(device: str = "auto", actors: int | None = None, gpus_per_run: float | None = None) -> Compute:
    """Check the options against this machine.

    Raises:
        UserError: no such device, a fraction that is not 1/k, fewer than one actor, or more GPUs than there are.
    """
    one_of("--device", device, DEVICES)
    gpus = torch.cuda.device_count()
    if device == "cuda" and not gpus:
        raise UserError("--device cuda: this machine has no GPU that torch can use. Use --device cpu.")
    if actors is not None and actors < 1:
        raise UserError(f"--actors {actors}: at least 1 is needed.")
    if gpus_per_run is not None:
        _check_fraction(gpus_per_run)
    if device == "cpu" or not gpus:
        if gpus_per_run:
            raise UserError(
                f"--gpus-per-run {gpus_per_run:g}: "
                + ("--device cpu uses no GPU." if device == "cpu" else "this machine has no GPU.")
            )
        return Compute("cpu", actors or len(_cores()), 0.0)
    k = _check_fraction(gpus_per_run or 1.0)
    places = gpus * k
    if actors is not None and actors > places:
        raise UserError(
            f"--actors {actors} with --gpus-per-run {1 / k:.4g} asks for {actors / k:.4g} GPUs: this machine "
            f"has {gpus}, room for {places} actors."
        )
    return Compute("cuda", actors or places, 1 / k)


def _check_fraction(share: float) -> int:
    """The k of a fraction 1/k, written with at least two digits (0.33, 0.1667)."""
    k = max(1, round(1 / share)) if share > 0 else 1
    if not abs(share - 1 / k) < 5e-3 / k:
        raise UserError(
            f"--gpus-per-run {share:g} is not 1/k (1, 0.5, 0.25, 0.2, …): Ray would place runs unevenly. "
            f"Use {1 / (-int(-1 // share) if 0 < share < 1 else 1):.4g}."
        )
    return k


class Actor:
    """Owns a GPU, an exact fraction of one, or one CPU core; does one unit of work at a time."""

    def __init__(self, make_runner: Any, slot: int, device: str, share: float, *parts: Any):
        if device == "cpu" and hasattr(os, "sched_setaffinity"):
            cores = _cores()
            os.sched_setaffinity(0, {cores[slot % len(cores)]})
        torch.set_num_threads(1)
        self.runner = make_runner(*parts, device, share)

    def execute(self, work: Work, original: bytes | None) -> bytes:
        return work.perform(self.runner, original)


class Pool:
    """Long-lived actors, and a loop in which each pulls its next unit of work when it is done with the last.

    make_runner(*parts, device, share) builds what an actor works with; the parts go to the object store once each.
    """

    def __init__(self, compute: Compute, make_runner: Any, *parts: Any):
        self.compute = compute
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            logging.getLogger("ray").setLevel(logging.ERROR)  # it announces its token authentication each time
            ray.init(
                address="local",
                num_cpus=max(compute.actors, 1),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        self._make_runner = make_runner
        self._parts = [ray.put(part) for part in parts]
        share = math.floor(compute.gpus_per_run * 10_000) / 10_000  # Ray's unit: k of them must not exceed one GPU
        # A slot's core is pinned by ourselves, so that more actors than cores still start.
        self._actor_class = ray.remote(Actor).options(num_cpus=0 if share else 1, num_gpus=share, max_restarts=0)
        self._actors = [self._start(slot) for slot in range(compute.actors)]
        self._in_a_row = 0  # actors that died since one last finished anything

    def completed(self, queue: "deque[Work]", shared: Callable[[], Any]) -> Iterator[tuple[Work, bytes | Lost]]:
        """Do all work in queue, yielding each result as it comes; the caller may change the queue meanwhile.

        shared: asked when a unit is handed out; what it gives goes to `perform`, and to the object store once.

        Raises:
            UserError: actors die one after another without finishing anything.
        """
        tries: Counter[int] = Counter()
        idle = list(range(len(self._actors)))
        busy: dict[Any, tuple[int, Work]] = {}
        reference, stored = None, None
        while queue or busy:
            while queue and idle:
                slot, work = idle.pop(0), queue.popleft()
                if shared() is not stored:
                    stored = shared()
                    reference = ray.put(stored)
                busy[self._actors[slot].execute.remote(work, reference)] = slot, work
            ready, _ = ray.wait(list(busy), num_returns=1)
            slot, work = busy.pop(ready[0])
            idle.append(slot)
            try:
                result = ray.get(ready[0])
            except ray.exceptions.RayError as error:
                reason = _last_line(error)
                if isinstance(error, ray.exceptions.RayActorError):
                    reason = f"its actor died ({reason})"
                self._replace(slot, reason)
                tries[id(work)] += 1
                if tries[id(work)] < TRIES:
                    queue.appendleft(work)
                else:
                    yield work, Lost(f"{reason}, {TRIES} times")
                continue
            self._in_a_row = 0
            tries.pop(id(work), None)
            yield work, result

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        if self._started_ray:
            ray.shutdown()

    def _start(self, slot: int) -> Any:
        return self._actor_class.remote(self._make_runner, slot, self.compute.device, self.compute.share, *self._parts)

    def _replace(self, slot: int, reason: str) -> None:
        ray.kill(self._actors[slot])  # where it lives on, its device may be in a bad state
        self._in_a_row += 1
        if self._in_a_row > TRIES * len(self._actors):
            raise UserError(
                f"{self._in_a_row} actors died in a row without finishing a run: {reason}. What was finished is kept."
            )
        self._actors[slot] = self._start(slot)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _cores() -> list[int]:
    """The CPU cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
