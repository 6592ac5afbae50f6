"""`--log-json`: what happens while runs are executed, one JSON object a line."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from forget512.harness.errors import UserError
from forget512.harness.scheduling.events import Event


class EventLog:
    """Appends to a file as things happen; docs/clusters.md lists the events and their fields."""

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
        """One line; fields that have no value are left out."""
        self._counts[event.kind] += 1
        fields = {name: value for name, value in vars(event).items() if name != "kind" and value not in ("", None)}
        self._write(event.kind, **fields)

    def close(self, how: str) -> str:
        """The last line; how: finished, interrupted or stopped. What went wrong with the file, if anything did."""
        counted = ("finished", "failed", "lost", "again")
        self._write("end", how=how, **{kind: self._counts[kind] for kind in counted})
        try:
            self._file.close()
        except OSError as error:  # what could not be written before is tried once more
            self._not_whole(error)
        return self._problem

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **fields})
        try:
            self._file.write(f"{line}\n")
        except OSError as error:  # runs matter more than their log
            self._not_whole(error)

    def _not_whole(self, error: OSError) -> None:
        self._problem = f"--log-json {self._path} is not whole: it could not be written ({error.strerror})."
