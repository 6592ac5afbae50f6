"""Prints the messages of commands to standard error."""

import sys
from collections.abc import Iterable


def say(lines: Iterable[str]) -> None:
    """Print each line as soon as the iterator yields it."""
    for line in lines:
        print(line, file=sys.stderr)


def complain(message: str) -> None:
    """Print an error message on one line."""
    print(f"forget512: {' '.join(message.split())}", file=sys.stderr)
