"""Runs workers as Ray actors; each has a GPU, a share of one, or a core. It is independent of the kind of work."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from forget512.harness.errors import Doubtful, MachineFault, UserError
from forget512.harness.scheduling.compute import Compute, usable_cores
from forget512.harness.scheduling.events import Event
from forget512.harness.scheduling.mps import sharing
from forget512.harness.scheduling.queue import Answer, Work
from forget512.harness.scheduling.ray_session import leave, nodes, start_ray, versions

SURVEY_SECONDS = 2.0  # between surveys of the nodes
LONELY_SECONDS = 60.0  # without a worker, after which it is logged
SLOW_SECONDS = 300.0  # in which a worker should start; after that, another node is tried


class Actor:
    """A worker's process, which executes one unit of work at a time.

    core: the number of the core that it is pinned to; None on a cluster, where others use the same machine. workers:
    their number on its machine.
    """

    def __init__(self, make_runner: Any, core: int | None, workers: int, device: str, gpus: float, *parts: Any):
        cores = usable_cores()
        if device == "cpu" and core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cores[core % len(cores)]})
        torch.set_num_threads(1)
        share = gpus if device == "cuda" else min(1.0, len(cores) / workers)
        self.runner = make_runner(*parts, device, share, workers)

    def versions(self) -> dict[str, str]:
        """Return once the worker is ready."""
        return versions()

    def execute(self, work: Work, original: bytes | None, limit: float | None) -> tuple[bytes, str]:
        """Execute a unit; return its result, and why it is in doubt."""
        try:
            return work.perform(self.runner, original, limit), ""
        except Doubtful as doubtful:
            return doubtful.result, doubtful.reason


@dataclass(eq=False)
class _Worker:
    """A worker that runs, or could. number: below `workers`, the number that its node has room for."""

    name: str
    node: str
    number: int
    workers: int
    actor: Any = None
    ready: bool = False
    began: float = 0.0
    answer: Any = None  # the answer that it gives next: first its versions, then results


class Pool:
    """Long-lived workers on all nodes; implements a queue's `Workers`.

    make_runner(*parts, device, share, workers) builds a worker's runner; each part is put into the object store once.
    The number of workers follows nodes that join or leave, and never exceeds the number of units of work.
    """

    def __init__(self, compute: Compute, make_runner: Any, *parts: Any):
        self.compute = compute
        if compute.address is None:
            leave()
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            start_ray(address="local", num_cpus=max(compute.actors, 1), include_dashboard=False)
        self.originals: Mapping[str, bytes] = {}  # by the names in units of work
        self._shared: dict[str, Any] = {}  # references to the ones that were sent
        self._make_runner = make_runner
        self._parts = [ray.put(part) for part in parts]
        self._gpus = math.floor(compute.gpus_per_run * 10_000) / 10_000  # Ray's unit: k must not exceed one GPU
        self._workers: dict[str, _Worker] = {}
        self._possible: list[_Worker] = []  # workers for which there is room, by the last survey
        self._surveyed = -math.inf
        self._alone_since = self.now()
        self._disabled: set[str] = set()
        self._slow: set[str] = set()  # workers that did not start for long
        self._gone: set[str] = set()  # nodes on which no worker can start any more
        self._refused: dict[str, str] = {}  # nodes whose versions differ, with what differs
        self.events: list[Event] = []
        if compute.device == "cuda" and compute.gpus_per_run < 1 and compute.address is None:
            self.events.append(Event("sharing", text=sharing(round(1 / compute.gpus_per_run))))

    def now(self) -> float:
        return time.monotonic()

    @property
    def room(self) -> int:
        return len({worker.name for worker in self._possible} - self._disabled)

    def ready(self, wanted: int) -> Sequence[str]:
        self._survey()
        most = wanted if self.compute.most is None else min(wanted, self.compute.most)
        self._give_up_slow_ones()
        for worker in sorted(self._possible, key=lambda worker: worker.name in self._slow):
            if len(self._workers) >= most:
                break
            if worker.name not in self._workers and worker.name not in self._disabled:
                self._workers[worker.name] = worker
                self._begin(worker)
        if self.compute.address:  # free idle workers for other users of the cluster
            idle = [name for name, worker in self._workers.items() if worker.ready and worker.answer is None]
            for name in idle[: max(0, len(self._workers) - wanted)]:
                self._remove(name)
        ready = [name for name, worker in self._workers.items() if worker.ready]
        if ready or not wanted:
            self._alone_since = self.now()
        elif self.now() - self._alone_since > LONELY_SECONDS:
            self._alone_since = math.inf  # logged once
            why = "the cluster is busy or slow" if self._possible else f"there is no {self.compute.device} device"
            self.events.append(Event("waiting", text=f"no worker has started for {LONELY_SECONDS:.0f} s: {why}"))
        return ready

    def _give_up_slow_ones(self) -> None:
        """End workers that have not started for long, since their node is busy, so that untried ones can start."""
        untried = {worker.name for worker in self._possible} - self._workers.keys() - self._disabled - self._slow
        for name, worker in list(self._workers.items()):
            if untried and not worker.ready and self.now() - worker.began > SLOW_SECONDS:
                self._slow.add(name)
                self._remove(name)
                untried.pop()

    def start(self, worker: str, work: Work, limit: float | None) -> None:
        original = work.original
        if original is not None and original not in self._shared:
            self._shared[original] = ray.put(self.originals[original])
        chosen = self._workers[worker]
        chosen.answer = chosen.actor.execute.remote(work, original and self._shared[original], limit)

    def wait(self, seconds: float) -> list[Answer]:
        awaited = {worker.answer: worker for worker in self._workers.values() if worker.answer is not None}
        if not awaited:
            time.sleep(min(seconds, 0.1))
            return []
        answers, _ = ray.wait(list(awaited), num_returns=1, timeout=seconds)
        if answers:
            answers, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        found = [self._answered(worker) for answer in answers if (worker := awaited[answer]).name in self._workers]
        return [answer for answer in found if answer is not None]

    def restart(self, worker: str) -> None:
        if worker in self._workers:
            ray.kill(self._workers[worker].actor)  # if it lives on, its device may be in a bad state
            self._begin(self._workers[worker])

    def disable(self, worker: str) -> None:
        self._disabled.add(worker)
        self._remove(worker)

    def close(self) -> None:
        for worker in list(self._workers):
            self._remove(worker)
        if self._started_ray:
            ray.shutdown()

    def _survey(self) -> None:
        """Look for new and lost nodes from time to time."""
        if self.now() - self._surveyed < SURVEY_SECONDS:
            return
        there = nodes()
        usable = (node for node in there if node["NodeID"] not in self._refused.keys() | self._gone)
        possible = [worker for node in usable for worker in self._possible_on(node)]
        self._possible = possible if self.compute.address else possible[: self.compute.actors]
        self._surveyed = self.now()
        alive = {node["NodeID"] for node in there}
        for name, worker in list(self._workers.items()):
            if worker.node not in alive and worker.answer is None:
                self._left(name)

    def _possible_on(self, node: dict[str, Any]) -> Iterator[_Worker]:
        if self._gpus:
            what, count = "GPU worker", round(node["Resources"].get("GPU", 0) / self.compute.gpus_per_run)
        else:
            what, count = "core", int(node["Resources"].get("CPU", 0))
        for number in range(count):
            name = f"{node['NodeManagerAddress']}/{node['NodeID'][:6]} {what} {number}"
            yield _Worker(name, node["NodeID"], number, count)

    def _begin(self, worker: _Worker) -> None:
        options = ray.remote(Actor).options(
            num_cpus=0 if self._gpus else 1,
            num_gpus=self._gpus,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(worker.node, soft=False),
        )
        device, gpus = self.compute.device, self.compute.gpus_per_run
        worker.ready, worker.began = False, self.now()
        core = None if self.compute.address else worker.number
        worker.actor = options.remote(self._make_runner, core, worker.workers, device, gpus, *self._parts)
        worker.answer = worker.actor.versions.remote()

    def _remove(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker is not None:
            ray.kill(worker.actor)

    def _left(self, name: str) -> None:
        self._remove(name)
        self._surveyed = -math.inf
        self.events.append(Event("left", place=name, text="its node left the cluster"))

    def _answered(self, worker: _Worker) -> Answer | None:
        answer, worker.answer = worker.answer, None
        try:
            result = ray.get(answer)
        except ray.exceptions.RayError as error:
            return self._fault(worker, error)
        if worker.ready:
            value, doubt = result
            return Answer(worker.name, value, doubt=doubt)
        mine = versions()
        differing = [f"{name} {theirs} (here {mine[name]})" for name, theirs in result.items() if theirs != mine[name]]
        if differing:
            self._refuse(worker, ", ".join(differing))
        else:
            worker.ready = True
            self.events.append(Event("joined", place=worker.name))
        return None

    def _fault(self, worker: _Worker, error: Exception) -> Answer:
        reason = _last_line(error)
        died = isinstance(error, ray.exceptions.RayActorError)
        unplaced = isinstance(error, ray.exceptions.ActorUnschedulableError)  # known before ray.nodes() shows it
        if unplaced or (died and worker.node not in {node["NodeID"] for node in nodes()}):
            self._gone.add(worker.node)
            self._left(worker.name)
            return Answer(worker.name, fault="its node left the cluster", left=True)
        if isinstance(error, ray.exceptions.ActorUnavailableError):  # of a node that will soon be reported as dead
            self.restart(worker.name)
            return Answer(worker.name, fault="its node does not answer", left=True)
        fault = f"its worker died ({reason})" if died else reason
        return Answer(worker.name, fault=fault, sound=isinstance(error, MachineFault))

    def _refuse(self, worker: _Worker, what: str) -> None:
        self._refused[worker.node] = text = f"node {worker.name.partition('/')[0]} has {what}"
        self.events.append(Event("refused", place=worker.name, text=text))
        for other in [other for other in self._workers.values() if other.node == worker.node]:
            self._remove(other.name)
        self._surveyed = -math.inf
        self._survey()
        if not self._possible:
            raise UserError(
                f"the nodes of the cluster have other versions than this machine: {'; '.join(self._refused.values())}. "
                "Install the same ones."
            )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
