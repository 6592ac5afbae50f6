"""A benchmark as far as it can be told from others, and its title."""

from typing import Any, Protocol


class Described(Protocol):
    """A benchmark as far as it can be told from others: with its data, or as a store describes it."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def identity(self) -> dict[str, Any]: ...


def title(benchmark: Described) -> str:
    identity = benchmark.identity
    forget, retain = (identity["split"][part]["examples"] for part in ("forget", "retain"))
    return (
        f"{benchmark.name}, {identity['model']['name']}, {forget} of {forget + retain} forgotten, "
        f"{identity['recipe']['epochs']} epochs, {identity['precision']}, benchmark {benchmark.fingerprint[:12]}"
    )
