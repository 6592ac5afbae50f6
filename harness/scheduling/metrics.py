"""Exports an evaluation's metrics to Prometheus by Ray: `ray_forget512_…` at each node's metrics port."""

from typing import Protocol

import ray
import ray.util.client
from ray.util.metrics import Counter, Gauge, Histogram

from forget512.harness.scheduling.events import Event

SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]  # upper ends of the histogram's bins


class State(Protocol):
    """waiting: number of unfinished units. workers: their number, None before the first."""

    waiting: int
    workers: int | None


class Metrics:
    """Counts runs by algorithm and status, their seconds, and the unfinished ones.

    A driver that joined by `ray://` has no metrics of its own: Ray exports those of processes on the cluster's nodes.
    """

    def __init__(self, fingerprint: str, state: State):
        self.state = state
        of = ("benchmark", "algorithm")
        self._tags = {"benchmark": fingerprint[:12]}
        self._runs = Counter("forget512_runs", "Runs that ended.", (*of, "status"))
        self._seconds = Histogram("forget512_run_seconds", "Seconds of finished runs on their worker.", SECONDS, of)
        self._waiting = Gauge("forget512_waiting", "Runs that are waiting or being executed.", ("benchmark",))
        self._actors = Gauge("forget512_actors", "Workers that are free or busy.", ("benchmark",))

    def take(self, event: Event) -> None:
        """Count one event."""
        if not ray.is_initialized() or ray.util.client.ray.is_connected():
            return
        self._waiting.set(self.state.waiting, self._tags)
        self._actors.set(self.state.workers or 0, self._tags)
        if event.kind not in ("finished", "failed", "lost", "again"):
            return
        name = event.algorithm.encode("ascii", "backslashreplace").decode()  # Ray's tags are ASCII
        tags = {**self._tags, "algorithm": name}
        self._runs.inc(1, {**tags, "status": event.kind})
        if event.kind == "finished" and event.seconds:
            self._seconds.observe(event.seconds, tags)
