"""Where runs come from that nobody here has done: a note beside the records that an import put into a bank."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from harness.errors import UserError
from harness.identity import canonical_json
from harness.store import Store
from scoring import Finding

PREFIX = "origin-"


@dataclass(frozen=True)
class Origin:
    """One import. file: its name where it was imported. sha256: of its content. seeds: those that it brought."""

    file: str
    sha256: str
    seeds: tuple[int, ...]


def put_origin(store: Store, folder: str, origin: Origin) -> None:
    """Keep it in a bank's folder."""
    store.put_if_absent(f"{folder}/{PREFIX}{origin.sha256[:12]}.json", canonical_json(asdict(origin)).encode())


def read_origins(store: Store, folder: str) -> list[Origin]:
    """Those of a bank.

    Raises:
        UserError: one cannot be read: without it, others' runs would pass for own ones.
    """
    found = []
    for name, _ in store.list(folder):
        if name.rpartition("/")[2].startswith(PREFIX):
            try:
                values = json.loads(store.get(name))
                found.append(Origin(str(values["file"]), str(values["sha256"]), tuple(map(int, values["seeds"]))))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{name} in the store is damaged: import what it came from again, or delete it."
                ) from error
    return found


def origin_findings(origins: Iterable[Origin], seeds: Iterable[int], reference: bool) -> Iterator[Finding]:
    """What to say beside each score in which some of these seeds were imported."""
    used = set(seeds)
    for origin in origins:
        count = len(used.intersection(origin.seeds))
        if count:
            whose = "The reference's" if reference else "Its"
            text = (
                f"{whose} runs were imported from {origin.file} ({origin.sha256[:12]}), {count} of {len(used)}: they "
                "were done elsewhere, and their seconds are another machine's."
            )
            numbers: dict[str, float | int | list[int]] = {"runs": count, "of": len(used)}
            yield (
                Finding("imported-reference", "retrained", text, numbers)
                if reference
                else Finding("imported", "unlearned", text, numbers)
            )
