"""Shows the progress of runs: a bar for each bank, lines for problems, and a final summary of failures."""

import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from forget512.harness.scheduling.events import Event
from forget512.harness.views.console import SILENT_SECONDS, duration

if TYPE_CHECKING:
    from forget512.harness.scheduling.compute import Compute
    from forget512.harness.workflows.filling import Filling

UPDATE_SECONDS = 0.2  # between updates of the bars, since counting the missing runs takes time

LINES = {  # by an event's kind; {run} has no seed if the event concerns an algorithm
    "failed": "{run} failed: {text}",
    "lost": "{run} lost: {text}",
    "again": "{run} is rerun: {text} ({place})",
    "stopped": "{run} stopped: its first runs all failed: {text}",
    "aside": "worker {place} is disabled: {text}",
    "refused": "not used: {text}",
}


@contextmanager
def live_progress(filling: "Filling", compute: "Compute", target: Console) -> Iterator["LiveProgress"]:
    """Show bars by algorithm and the time left; without a terminal, print plain lines from time to time."""
    progress = LiveProgress(filling, compute, target)
    if target.is_terminal or target.is_jupyter:
        with progress.bars:
            yield progress
            progress.close()
    else:
        yield progress


class LiveProgress:
    """Shows a bar for each algorithm, and a line for each important event."""

    def __init__(self, filling: "Filling", compute: "Compute", target: Console):
        self.filling, self.compute, self.console = filling, compute, target
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=target,
        )
        progress = filling.progress()
        self.tasks = {n: self.bars.add_task(escape(n), total=wanted, left="") for n, (_, wanted) in progress.items()}
        self.last_line = time.monotonic()
        self._updated = -math.inf
        self._update()

    def take(self, event: Event) -> None:
        """Show one event."""
        if event.kind in LINES:
            run = event.algorithm + (f", seed {event.seed}" if event.seed is not None else "")
            self.console.print(Text(LINES[event.kind].format(run=run, place=event.place, text=event.text)))
        elif event.kind in ("left", "waiting", "sharing"):
            self.console.print(Text(f"{event.place}: {event.text}" if event.place else event.text))
        self._update()

    def close(self) -> None:
        """Show the final state."""
        self._updated = -math.inf
        self._update()

    def _update(self) -> None:
        if time.monotonic() - self._updated < UPDATE_SECONDS:
            return
        self._updated = time.monotonic()
        left = self.filling.seconds_left(self.compute.devices(self.filling.workers))
        text = f"about {duration(left)} left" if left else ""
        progress = self.filling.progress()
        last = list(progress)[-1] if progress else ""
        for name, (finished, wanted) in progress.items():
            self.bars.update(self.tasks[name], total=wanted, completed=finished, left=text if name == last else "")
        if (
            not (self.console.is_terminal or self.console.is_jupyter)
            and time.monotonic() - self.last_line > SILENT_SECONDS
        ):
            self.last_line = time.monotonic()
            counts = ", ".join(f"{name} {finished}/{wanted}" for name, (finished, wanted) in progress.items())
            self.console.print(Text(f"{counts}; {text or 'time unknown'}"))


def summed_up(events: Iterable[Event]) -> list[str]:
    """Return a line for each reason for which runs failed, were lost or were repeated, with their number.

    Reasons that differ only in numbers are merged; the first is shown.
    """
    words = {"failed": "failed", "lost": "lost (rerun the command to retry)", "again": "repeated"}
    counted: Counter[tuple[str, str, str]] = Counter()
    shown: dict[tuple[str, str, str], str] = {}
    for event in events:
        if event.kind in words:
            key = event.algorithm, event.kind, re.sub(r"\d+", "#", event.text)
            counted[key] += 1
            shown.setdefault(key, event.text)
    return [
        f"{key[0]}: {number} {'run' if number == 1 else 'runs'} {words[key[1]]}: {shown[key]}"
        for key, number in counted.most_common()
    ]
