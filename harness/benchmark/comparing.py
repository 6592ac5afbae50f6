"""Compares the identities of two benchmarks; their runs may be compared only if these are equal."""

from typing import Any

from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256


def differences(one: dict[str, Any], other: dict[str, Any], where: str = "") -> list[str]:
    """List what differs between two identities, as 'recipe.epochs: 6 v 12'."""
    found: list[str] = []
    for key in sorted(one.keys() | other.keys()):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{where}{key}.")
        elif a != b:
            short = [value[:12] if isinstance(value, str) else value for value in (a, b)]
            found.append(f"{where}{key}: {short[0]} v {short[1]}")
    return found


def check_comparable(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Check that runs of two benchmarks may be compared, given the identities of both.

    Raises:
        UserError: the identities differ; names what differs.
    """
    found = differences(one, other)
    if found:
        raise UserError(
            f"the banks are of two benchmarks ({sha256(one)[:12]} and {sha256(other)[:12]}) and cannot be compared: "
            + "; ".join(found)
        )
