"""Prune: banks of sources that no longer exist."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.source import hash_of_method
from forget512.harness.store.files import Store
from forget512.harness.store.import_notes import PREFIX
from forget512.harness.store.record import RECORD_NAME
from forget512.harness.workflows.examination import EXAMINED

DESCRIPTION = "bank.json"


@dataclass(frozen=True)
class Prunable:
    """A bank to be removed.

    reason: why nothing can add to it any more. runs: finished ones. size: bytes of all its files.
    """

    bank: str
    reason: str
    runs: int
    size: int
    files: tuple[str, ...]


def prunable(store: Store, kept: Sequence[Algorithm]) -> list[Prunable]:
    """Banks that nothing can add to: of a built-in method whose code has changed or that is gone, and of a file's
    earlier versions.

    kept: candidates as they are now. Of a file that is not among them it is not known whether its versions still exist:
    its banks stay. So do, always, the reference's, those that came from elsewhere (examined or imported, which a note
    beside their records tells), and those whose bank.json cannot be read.
    """
    current = {candidate.method.rpartition("@")[0]: candidate for candidate in kept}
    folders: dict[str, list[tuple[str, int]]] = {}
    for name, size in store.list("banks"):
        folders.setdefault(name.rpartition("/")[0], []).append((name, size))
    found = []
    for folder, files in folders.items():
        names = [name.rpartition("/")[2] for name, _ in files]
        if any(name == EXAMINED or name.startswith(PREFIX) for name in names):
            continue
        try:
            identity = json.loads(store.get(f"{folder}/{DESCRIPTION}"))
            reason = _reason(identity["algorithm"], identity["source"], current)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            continue  # `verify-store` names it
        if reason:
            records = [match for name in names if (match := RECORD_NAME.fullmatch(name))]
            runs = sum(match[2] == "finished" for match in records)
            # bank.json last: what is interrupted can be pruned on
            ordered = sorted((name for name, _ in files), key=lambda name: name.endswith(DESCRIPTION))
            found.append(Prunable(folder, reason, runs, sum(size for _, size in files), tuple(ordered)))
    return found


def prune(store: Store, banks: Sequence[Prunable]) -> None:
    """Remove them, for good."""
    for bank in banks:
        for name in bank.files:
            store.remove(name)


def _reason(method: str, source: str, current: dict[str, Algorithm]) -> str:
    if method == "retrain":
        return ""
    if "@" in method:
        now = current.get(method.rpartition("@")[0])
        return f"its file is {now.name} now" if now and now.source != source else ""
    if method not in ALGORITHMS:
        return "no algorithm has this name any more"
    return "its code has changed" if hash_of_method(method) != source else ""
