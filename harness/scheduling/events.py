"""Events of the execution of runs, and `--log-json`, which logs them as one JSON object per line."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forget512.harness.errors import UserError


@dataclass(frozen=True)
class Event:
    """An event in the execution of runs.

    kind: sharing | joined | left | refused | given | original | finished | failed | again | lost | stopped | aside |
    waiting; docs/clusters.md explains each. algorithm: its bank's. text: one line. place: the worker's name. seconds:
    how long a run occupied its worker.
    """

    kind: str
    algorithm: str = ""
    seed: int | None = None
    text: str = ""
    place: str = ""
    seconds: float | None = None


class EventLog:
    """Appends events to a file; docs/clusters.md lists the events and their fields."""

    def __init__(self, path: Path, **begin: Any):
        """begin: fields of the first line. Raises UserError: the file cannot be written."""
        try:
            self._file = path.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            raise UserError(f"--log-json {path} cannot be written ({error.strerror}).") from error
        self._counts: Counter[str] = Counter()
        self._problem = ""
        self._path = path
        self._write("begin", **begin)

    def take(self, event: Event) -> None:
        """Write one line; omit fields without a value."""
        self._counts[event.kind] += 1
        fields = {name: value for name, value in vars(event).items() if name != "kind" and value not in ("", None)}
        self._write(event.kind, **fields)

    def close(self, how: str) -> str:
        """Write the last line; return why the file is incomplete, if it is. how: finished, interrupted or stopped."""
        counted = ("finished", "failed", "lost", "again")
        self._write("end", how=how, **{kind: self._counts[kind] for kind in counted})
        try:
            self._file.close()
        except OSError as error:  # retry the lines that could not be written before
            self._incomplete(error)
        return self._problem

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **fields})
        try:
            self._file.write(f"{line}\n")
        except OSError as error:  # runs matter more than their log
            self._incomplete(error)

    def _incomplete(self, error: OSError) -> None:
        self._problem = f"--log-json {self._path} is incomplete: it could not be written ({error.strerror})."
