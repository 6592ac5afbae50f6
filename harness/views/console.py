"""Console settings, and durations in words."""

from typing import Any

from rich.console import Console

WIDTH = 120  # where there is no terminal
SILENT_SECONDS = 30.0  # between lines where there is no terminal for a live display


def console(stderr: bool = False, **options: Any) -> Console:
    """A console that keeps the table on its lines where the output goes to a file. options: of rich's."""
    made = Console(stderr=stderr, highlight=False, **options)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH, **options)


def duration(seconds: float) -> str:
    """'40 s', '12 min' or '3.5 h'."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
