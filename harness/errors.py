"""The one exception for a user's mistakes; run_eval.py prints it as one line and exits with 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One sentence: what is wrong, the value seen, what is allowed, what to do."""


def first_line(error: BaseException) -> str:
    """Of an error of another library's, which may have no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def printable(text: str) -> str:
    """Text of others' as one line that a terminal only shows: no control characters."""
    return "".join(mark if mark.isprintable() else " " if mark.isspace() else "?" for mark in text)


def one_of(what: str, value: str, allowed: Iterable[str]) -> str:
    """Return value if it is allowed; else raise a UserError that names the nearest allowed one."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(value, allowed, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UserError(f"{what} {value!r} is not known: choose from {', '.join(allowed)}.{hint}")
