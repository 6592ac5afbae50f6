"""Prunes banks of sources that no longer exist."""

from collections.abc import Sequence
from dataclasses import dataclass

from forget512.algorithms import ALGORITHMS
from forget512.harness.candidates.algorithm import RETRAIN, Algorithm, stem
from forget512.harness.candidates.source import hash_of_method
from forget512.harness.store import layout
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.listing import ListedBank, identified, list_banks


@dataclass(frozen=True)
class Prunable:
    """A bank to be removed. reason: why no run can be added to it."""

    bank: ListedBank
    reason: str


def prunable(store: Store, kept: Sequence[Algorithm]) -> list[Prunable]:
    """Find banks that no run can be added to: of built-in methods that were changed or removed, and of a file's
    earlier versions.

    kept: the present versions of candidates. The banks of other files stay, since their versions may still exist. The
    reference's banks, those that were examined or imported, and those with an invalid bank.json always stay.
    """
    current = {candidate.owner: candidate for candidate in kept}
    banks, _ = identified(list_banks(store))  # `verify-store` lists those with an invalid bank.json
    found = []
    for bank in banks:
        if bank.has(layout.EXAMINED) or bank.imported:
            continue
        reason = _reason(bank.identity["algorithm"], bank.identity["source"], current)
        if reason:
            found.append(Prunable(bank, reason))
    return found


def prune(store: Store, banks: Sequence[Prunable]) -> None:
    """Delete all files of these banks, bank.json last: an interrupted prune can be continued."""
    for each in banks:
        for name in sorted(each.bank.sizes, key=lambda name: layout.file_name(name) == layout.IDENTITY):
            store.remove(name)


def _reason(method: str, source: str, current: dict[str, Algorithm]) -> str:
    if method == RETRAIN:
        return ""
    if "@" in method:
        now = current.get(stem(method))
        return f"its file is {now.name} now" if now and now.source != source else ""
    if method not in ALGORITHMS:
        return "no algorithm has this name now"
    return "its code has changed" if hash_of_method(method) != source else ""
