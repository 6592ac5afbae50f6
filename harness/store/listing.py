"""Lists a benchmark's banks from file names, without opening a record."""

from dataclasses import dataclass
from typing import Any

from forget512.harness.store.files import Store
from forget512.harness.store.import_notes import Origin, read_origins
from forget512.harness.store.layout import list_records
from forget512.harness.store.record import Damaged
from forget512.harness.store.stored_bank import count_confidences, read_identity


@dataclass(eq=False)
class ListedBank:
    """A bank by its files' names. seeds: those with a finished run. failed: how many have failures alone. tried,
    origins: as a StoredBank's.
    """

    folder: str
    name: str
    identity: dict[str, Any]
    seeds: tuple[int, ...]
    failed: int
    tried: int
    origins: list[Origin]

    @property
    def readings(self) -> tuple[int, ...]:
        """As much of them as counting needs."""
        return self.seeds


def _list(store: Store, folder: str) -> ListedBank | None:
    try:
        identity = read_identity(store, folder)
    except Damaged:
        return None  # `leaderboard` and `verify-store` name it
    records = list_records(store, folder)
    seeds = {seed for seed, attempt, _ in records if attempt is None} | set(range(count_confidences(store, folder)))
    failed = {seed for seed, attempt, _ in records if attempt is not None} - seeds
    tried = 1 + max(seeds | failed, default=-1)
    origins = read_origins(store, folder)
    return ListedBank(folder, identity["algorithm"], identity, tuple(sorted(seeds)), len(failed), tried, origins)
