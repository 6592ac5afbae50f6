"""Creates consoles, and formats durations."""

from typing import Any

from rich.console import Console

WIDTH = 120  # without a terminal
SILENT_SECONDS = 30.0  # between progress lines without a terminal


def console(stderr: bool = False, **options: Any) -> Console:
    """Create a console that does not wrap tables in output to a file. options: of rich's Console."""
    made = Console(stderr=stderr, highlight=False, **options)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH, **options)


def duration(seconds: float) -> str:
    """Format seconds as '40 s', '12 min' or '3.5 h'."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
