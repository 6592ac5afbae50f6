"""Import notes: which runs of a bank were imported, and from which file."""

import json
from dataclasses import asdict, dataclass

from forget512.harness.hashing import canonical_json
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.layout import import_note_name
from forget512.harness.store.record import Damaged


@dataclass(frozen=True)
class Origin:
    """One import. file: its name on the importing machine. sha256: of its content. seeds: the imported ones."""

    file: str
    sha256: str
    seeds: tuple[int, ...]


def put_origin(store: Store, folder: str, origin: Origin) -> None:
    """Save an import note in a bank's folder."""
    store.put_if_absent(import_note_name(folder, origin.sha256), canonical_json(asdict(origin)).encode())


def set_aside_damaged(store: Store, folder: str, digest: str) -> bool:
    """Set a damaged note aside, so that it can be rewritten; return whether there was one."""
    name = import_note_name(folder, digest)
    try:
        decode_origin(store.get(name))
    except Damaged:
        store.set_aside(name)
        return True
    except FileNotFoundError:
        pass
    return False


def decode_origin(data: bytes) -> Origin:
    """Parse an import note. Raises Damaged if the data are not one."""
    try:
        values = json.loads(data)
        file, digest, seeds = values["file"], values["sha256"], values["seeds"]
        if isinstance(file, str) and isinstance(digest, str) and all(type(seed) is int for seed in seeds):
            return Origin(file, digest, tuple(seeds))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"it is not a valid import note ({type(error).__name__})") from error
    raise Damaged("it is not a valid import note")
