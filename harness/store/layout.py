"""Every name in a store is built and parsed here."""

from forget512.harness.store.files import Store
from forget512.harness.store.record import RECORD_NAME


def list_records(store: Store, folder: str) -> list[tuple[int, int | None, str]]:
    """(seed, attempt or None where finished, name) of each record in a bank's folder; opens none."""
    found = []
    for name, _ in store.list(folder):
        match = RECORD_NAME.fullmatch(name.rpartition("/")[2])
        if match:
            found.append((int(match[1]), int(match[3]) if match[3] else None, name))
    return found
