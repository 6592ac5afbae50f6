"""The title of a benchmark."""

from typing import Any, Protocol


class Described(Protocol):
    """What identifies a benchmark: one with its data, or one that a store describes."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def identity(self) -> dict[str, Any]: ...


def title(benchmark: Described) -> str:
    """Data set, network, forget set, recipe, precision and fingerprint, in one line."""
    identity = benchmark.identity
    forget, retain = (identity["split"][part]["examples"] for part in ("forget", "retain"))
    return (
        f"{benchmark.name}, {identity['model']['name']}, {forget} of {forget + retain} forgotten, "
        f"{identity['recipe']['epochs']} epochs, {identity['precision']}, benchmark {benchmark.fingerprint[:12]}"
    )
