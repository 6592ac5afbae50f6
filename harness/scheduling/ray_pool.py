"""Ray actors as workers: one a GPU, a share of one, or a core. It knows nothing of what the work is."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from forget512.harness.errors import Doubtful, MachineFault, UserError
from forget512.harness.scheduling.compute import Compute, _cores
from forget512.harness.scheduling.queue import Ended, Note
from forget512.harness.scheduling.ray_session import _init, _nodes, _part, versions

SURVEY_SECONDS = 2.0  # between looks at which nodes there are
LONELY_SECONDS = 60.0  # without an actor, after which it is said
SLOW_SECONDS = 300.0  # in which an actor should have started; then another place is tried


class Work(Protocol):
    """A unit of work. `original` names the original model that it starts from, whose bytes `perform` gets (None where
    it starts from none); `limit`: seconds that it may take."""

    @property
    def original(self) -> str | None: ...

    def perform(self, runner: Any, original: bytes | None, limit: float | None) -> bytes: ...


class Actor:
    """Owns a GPU, an exact fraction of one, or one CPU core; does one unit of work at a time.

    core: number of the one that it keeps to; None on a cluster, where others have cores of the same machine. places:
    actors on its machine.
    """

    def __init__(self, make_runner: Any, core: int | None, places: int, device: str, gpus: float, *parts: Any):
        cores = _cores()
        if device == "cpu" and core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cores[core % len(cores)]})
        torch.set_num_threads(1)
        share = gpus if device == "cuda" else min(1.0, len(cores) / places)
        self.runner = make_runner(*parts, device, share, places)

    def versions(self) -> dict[str, str]:
        """Answers once the actor is ready."""
        return versions()

    def execute(self, work: Work, original: bytes | None, limit: float | None) -> tuple[bytes, str]:
        """The result, and why it is in doubt."""
        try:
            return work.perform(self.runner, original, limit), ""
        except Doubtful as doubtful:
            return doubtful.result, doubtful.reason


@dataclass(eq=False)
class _Place:
    name: str
    node: str
    slot: int
    places: int  # on its node
    actor: Any = None
    ready: bool = False
    began: float = 0.0
    answer: Any = None  # what it is to give next: its versions first, then results


class Pool:
    """Long-lived actors on all nodes that there are, each with a GPU, a share of one, or a core: a queue's `Workers`.

    make_runner(*parts, device, share, places) builds what an actor works with; the parts go to the object store once
    each. The number of actors follows nodes that join or leave, and is never above that of the units of work.
    """

    def __init__(self, compute: Compute, make_runner: Any, *parts: Any):
        self.compute = compute
        if compute.address is None:
            _part()
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            _init(address="local", num_cpus=max(compute.actors, 1), include_dashboard=False)
        self.originals: Mapping[str, bytes] = {}  # by the name that units of work give
        self._shared: dict[str, Any] = {}  # references to those that were sent
        self._make_runner = make_runner
        self._parts = [ray.put(part) for part in parts]
        self._gpus = math.floor(compute.gpus_per_run * 10_000) / 10_000  # Ray's unit: k must not exceed one GPU
        self._places: dict[str, _Place] = {}
        self._room: list[_Place] = []  # where actors may be, by the last survey
        self._surveyed = -math.inf
        self._alone_since = self.now()
        self._retired: set[str] = set()
        self._slow: set[str] = set()  # places where no actor started for long
        self._gone: set[str] = set()  # nodes on which no actor can be placed any more
        self._refused: dict[str, str] = {}  # nodes whose versions differ, with what differs
        self.notes: list[Note] = []

    def now(self) -> float:
        return time.monotonic()

    @property
    def room(self) -> int:
        return len({place.name for place in self._room} - self._retired)

    def places(self, wanted: int) -> Sequence[str]:
        self._survey()
        most = wanted if self.compute.most is None else min(wanted, self.compute.most)
        self._give_up_slow_ones()
        for place in sorted(self._room, key=lambda place: place.name in self._slow):
            if len(self._places) >= most:
                break
            if place.name not in self._places and place.name not in self._retired:
                self._places[place.name] = place
                self._begin(place)
        if self.compute.address:  # others may want what we no longer need
            idle = [name for name, place in self._places.items() if place.ready and place.answer is None]
            for name in idle[: max(0, len(self._places) - wanted)]:
                self._remove(name)
        ready = [name for name, place in self._places.items() if place.ready]
        if ready or not wanted:
            self._alone_since = self.now()
        elif self.now() - self._alone_since > LONELY_SECONDS:
            self._alone_since = math.inf  # said once
            what = "it is slow, or others use what is there" if self._room else f"no {self.compute.device} is there"
            self.notes.append(Note("waiting", "", f"no actor could start for {LONELY_SECONDS:.0f} s: {what}"))
        return ready

    def _give_up_slow_ones(self) -> None:
        """Places where an actor waits for long, because others use the node, where there are untried ones."""
        untried = {place.name for place in self._room} - self._places.keys() - self._retired - self._slow
        for name, place in list(self._places.items()):
            if untried and not place.ready and self.now() - place.began > SLOW_SECONDS:
                self._slow.add(name)
                self._remove(name)
                untried.pop()

    def start(self, place: str, work: Any, limit: float | None) -> None:
        if work.original is not None and work.original not in self._shared:
            self._shared[work.original] = ray.put(self.originals[work.original])
        chosen = self._places[place]
        chosen.answer = chosen.actor.execute.remote(work, self._shared.get(work.original), limit)

    def wait(self, seconds: float) -> list[Ended]:
        awaited = {place.answer: place for place in self._places.values() if place.answer is not None}
        if not awaited:
            time.sleep(min(seconds, 0.1))
            return []
        answers, _ = ray.wait(list(awaited), num_returns=1, timeout=seconds)
        if answers:
            answers, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        found = [self._answered(place) for answer in answers if (place := awaited[answer]).name in self._places]
        return [ended for ended in found if ended is not None]

    def renew(self, place: str) -> None:
        if place in self._places:
            ray.kill(self._places[place].actor)  # where it lives on, its device may be in a bad state
            self._begin(self._places[place])

    def retire(self, place: str) -> None:
        self._retired.add(place)
        self._remove(place)

    def close(self) -> None:
        for place in list(self._places):
            self._remove(place)
        if self._started_ray:
            ray.shutdown()

    def _survey(self) -> None:
        """See which nodes there are, now and then."""
        if self.now() - self._surveyed < SURVEY_SECONDS:
            return
        nodes = _nodes()
        usable = (node for node in nodes if node["NodeID"] not in self._refused.keys() | self._gone)
        room = [place for node in usable for place in self._room_of(node)]
        self._room = room if self.compute.address else room[: self.compute.actors]
        self._surveyed = self.now()
        alive = {node["NodeID"] for node in nodes}
        for name, place in list(self._places.items()):
            if place.node not in alive and place.answer is None:
                self._leave(name)

    def _room_of(self, node: dict[str, Any]) -> Iterator[_Place]:
        if self._gpus:
            what, number = "GPU place", round(node["Resources"].get("GPU", 0) / self.compute.gpus_per_run)
        else:
            what, number = "core", int(node["Resources"].get("CPU", 0))
        for slot in range(number):
            yield _Place(
                f"{node['NodeManagerAddress']}/{node['NodeID'][:6]} {what} {slot}", node["NodeID"], slot, number
            )

    def _begin(self, place: _Place) -> None:
        options = ray.remote(Actor).options(
            num_cpus=0 if self._gpus else 1,
            num_gpus=self._gpus,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
        )
        device, gpus = self.compute.device, self.compute.gpus_per_run
        place.ready, place.began = False, self.now()
        core = None if self.compute.address else place.slot
        place.actor = options.remote(self._make_runner, core, place.places, device, gpus, *self._parts)
        place.answer = place.actor.versions.remote()

    def _remove(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            ray.kill(place.actor)

    def _leave(self, name: str) -> None:
        self._remove(name)
        self._surveyed = -math.inf
        self.notes.append(Note("left", name, "its node left the cluster"))

    def _answered(self, place: _Place) -> Ended | None:
        answer, place.answer = place.answer, None
        try:
            result = ray.get(answer)
        except ray.exceptions.RayError as error:
            return self._fault(place, error)
        if place.ready:
            value, doubt = result
            return Ended(place.name, value, doubt=doubt)
        mine = versions()
        differing = [f"{name} {theirs} (here {mine[name]})" for name, theirs in result.items() if theirs != mine[name]]
        if differing:
            self._refuse(place, ", ".join(differing))
        else:
            place.ready = True
            self.notes.append(Note("joined", place.name))
        return None

    def _fault(self, place: _Place, error: Exception) -> Ended:
        reason = _last_line(error)
        died = isinstance(error, ray.exceptions.RayActorError)
        unplaced = isinstance(error, ray.exceptions.ActorUnschedulableError)  # known before ray.nodes() tells it
        if unplaced or (died and place.node not in {node["NodeID"] for node in _nodes()}):
            self._gone.add(place.node)
            self._leave(place.name)
            return Ended(place.name, fault="its node left the cluster", left=True)
        if isinstance(error, ray.exceptions.ActorUnavailableError):  # of a node that is about to be known as dead
            self.renew(place.name)
            return Ended(place.name, fault="its node does not answer", left=True)
        return Ended(
            place.name, fault=f"its actor died ({reason})" if died else reason, sound=isinstance(error, MachineFault)
        )

    def _refuse(self, place: _Place, what: str) -> None:
        self._refused[place.node] = said = f"node {place.name.partition('/')[0]} has {what}"
        self.notes.append(Note("refused", place.name, said))
        for other in [other for other in self._places.values() if other.node == place.node]:
            self._remove(other.name)
        self._surveyed = -math.inf
        self._survey()
        if not self._room:
            raise UserError(
                f"the nodes of the cluster have other versions than this machine: {'; '.join(self._refused.values())}. "
                "Install the same ones."
            )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
