"""Where runs come from that nobody here has done: a note beside the records that an import put into a bank."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from forget512.harness.errors import UserError
from forget512.harness.hashing import canonical_json
from forget512.harness.store.files import Store
from forget512.harness.store.record import Damaged
from forget512.scoring import Finding

PREFIX = "origin-"


@dataclass(frozen=True)
class Origin:
    """One import. file: its name where it was imported. sha256: of its content. seeds: those that it brought."""

    file: str
    sha256: str
    seeds: tuple[int, ...]


def put_origin(store: Store, folder: str, origin: Origin) -> None:
    """Keep it in a bank's folder."""
    store.put_if_absent(f"{folder}/{origin_name(origin.sha256)}", canonical_json(asdict(origin)).encode())


def origin_name(digest: str) -> str:
    """Of the note on the import of the file with this SHA-256."""
    return f"{PREFIX}{digest[:12]}.json"


def set_aside_damaged(store: Store, folder: str, digest: str) -> bool:
    """Make room for a note that cannot be read to be written anew; whether there was one."""
    name = f"{folder}/{origin_name(digest)}"
    try:
        decode_origin(store.get(name))
    except FileNotFoundError:
        return False
    except Damaged:
        store.set_aside(name)
        return True
    return False


def decode_origin(data: bytes) -> Origin:
    """Raises Damaged: it is no note."""
    try:
        values = json.loads(data)
        file, digest, seeds = values["file"], values["sha256"], values["seeds"]
        if isinstance(file, str) and isinstance(digest, str) and all(type(seed) is int for seed in seeds):
            return Origin(file, digest, tuple(seeds))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"it says of no import ({type(error).__name__})") from error
    raise Damaged("it says of no import")


def read_origins(store: Store, folder: str) -> list[Origin]:
    """Those of a bank.

    Raises:
        UserError: one cannot be read: without it, others' runs would pass for own ones.
    """
    found = []
    for name, _ in store.list(folder):
        if name.rpartition("/")[2].startswith(PREFIX):
            try:
                found.append(decode_origin(store.get(name)))
            except (FileNotFoundError, Damaged) as error:
                digest = name.rpartition(PREFIX)[2].removesuffix(".json")
                raise UserError(
                    f"{name} in the store is damaged: import the file that it is of (SHA-256 {digest}…) again, which "
                    "writes it anew."
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
