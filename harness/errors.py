"""Exceptions: one for a user's mistakes, which the command line prints as one line, and those for machine faults."""

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """One sentence: what is wrong, the value seen, what is allowed, what to do."""


def first_line(error: BaseException) -> str:
    """First line of an exception's message, or its type name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def printable(text: str) -> str:
    """Text from outside as one line without control characters, safe to print."""
    return "".join(mark if mark.isprintable() else " " if mark.isspace() else "?" for mark in text)


def one_of(what: str, value: str, allowed: Iterable[str]) -> str:
    """Return value if it is allowed; else raise a UserError that names the nearest allowed one."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(value, allowed, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UserError(f"{what} {value!r} is not known: choose from {', '.join(allowed)}.{hint}")


class Doubtful(Exception):
    """Raised where a result may be the machine's fault. result: the one to save if it is not."""

    def __init__(self, result: Any, reason: str):
        super().__init__(reason)
        self.result, self.reason = result, reason


class MachineFault(Exception):
    """Raised where work failed through a fault of the machine; its worker can go on."""
