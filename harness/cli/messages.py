"""What commands write to standard error."""

import sys
from collections.abc import Iterable


def say(lines: Iterable[str]) -> None:
    """Print lines, each as it comes."""
    for line in lines:
        print(line, file=sys.stderr)


def complain(message: str) -> None:
    """Print the one line of an error."""
    print(f"forget512: {' '.join(message.split())}", file=sys.stderr)
