"""Lists a store's banks from file names, without opening a record."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from forget512.harness.errors import UserError
from forget512.harness.hashing import canonical_json
from forget512.harness.store import layout
from forget512.harness.store.backends.contract import Store
from forget512.harness.store.import_notes import Origin, decode_origin
from forget512.harness.store.record import Damaged


class ListedBank:
    """A bank, as the names of its files describe it.

    name: shown in tables. sizes: bytes of each file, by name. finished: seed -> its record's name. attempts:
    (seed, number) -> the name of a failed attempt's record. confidences: names of imported confidences.
    """

    def __init__(self, store: Store, folder: str, sizes: Mapping[str, int]):
        self.store, self.folder, self.sizes = store, folder, sizes
        self.benchmark, self.name, _ = layout.parse_bank_folder(folder)
        self.finished: dict[int, str] = {}
        self.attempts: dict[tuple[int, int], str] = {}
        self.confidences: list[str] = []
        seeds: set[int] = set()
        for name in sizes:
            if record := layout.parse_record(name):
                seed, attempt = record
                if attempt is None:
                    self.finished[seed] = name
                else:
                    self.attempts[seed, attempt] = name
            elif (runs := layout.parse_confidences(name)) is not None:
                self.confidences.append(name)
                seeds.update(range(runs))
        self.seeds = tuple(sorted(seeds | self.finished.keys()))

    @property
    def readings(self) -> tuple[int, ...]:
        """The seeds with a finished run."""
        return self.seeds

    @cached_property
    def last_failures(self) -> dict[int, str]:
        """The seeds with only failed attempts, and the name of the last attempt's record."""
        finished = set(self.seeds)
        return {seed: name for (seed, _), name in sorted(self.attempts.items()) if seed not in finished}

    @property
    def failed(self) -> int:
        """The number of seeds with only failed attempts."""
        return len(self.last_failures)

    @property
    def tried(self) -> int:
        """The number of seeds begun: up to the last one that finished or failed."""
        return 1 + max([*self.seeds, *self.last_failures], default=-1)

    @property
    def size(self) -> int:
        """The size of all its files in bytes."""
        return sum(self.sizes.values())

    def has(self, file: str) -> bool:
        """Return whether the folder holds a file of this name (layout.IDENTITY, …)."""
        return f"{self.folder}/{file}" in self.sizes

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Read the identity, whose hash is the bank's key.

        Raises:
            Damaged: bank.json cannot be read, or belongs to another bank.
        """
        name = f"{self.folder}/{layout.IDENTITY}"
        try:
            return parse_identity(self.store.get(name), self.folder)
        except FileNotFoundError as error:
            raise Damaged(f"{name} is missing") from error
        except Damaged as error:
            raise Damaged(f"{name} cannot be used: {error}") from error

    @property
    def imported(self) -> bool:
        """Whether some of its runs were imported."""
        return any(layout.parse_import_note(name) for name in self.sizes)

    @cached_property
    def origins(self) -> list[Origin]:
        """Read the notes on the imports of its runs.

        Raises:
            UserError: a note cannot be read; without it, imported runs would pass for this machine's.
        """
        found = []
        for name in filter(layout.parse_import_note, self.sizes):
            try:
                found.append(decode_origin(self.store.get(name)))
            except (FileNotFoundError, Damaged) as error:
                raise UserError(
                    f"{name} in the store is damaged: import the file with the SHA-256 "
                    f"{layout.parse_import_note(name)}… again to rewrite the note."
                ) from error
        return found


def parse_identity(data: bytes, folder: str) -> dict[str, Any]:
    """Parse the identity in a bank's bank.json.

    Raises:
        Damaged: it is not valid, or describes a bank in another folder.
    """
    try:
        identity = json.loads(data)
        known = isinstance(identity["source"], str) and isinstance(identity["hyper_parameters"], dict)
        expected = layout.bank_folder(identity)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"it is not a valid identity of a bank ({type(error).__name__})") from error
    if not known or not isinstance(identity["algorithm"], str):
        raise Damaged("it does not name an algorithm, its hyper-parameters and source")
    if expected != folder:
        raise Damaged(f"it describes {expected}, not this folder")
    return identity


def list_bank(store: Store, folder: str) -> ListedBank:
    """List the bank in one folder; it has no files if there is none."""
    return ListedBank(store, folder, dict(store.list(folder)))


def list_banks(store: Store, fingerprint: str | None = None) -> list[ListedBank]:
    """List the banks of one benchmark, or of all. fingerprint: at least its first 12 digits."""
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for name, size in store.list(layout.banks_folder(fingerprint) if fingerprint else layout.BANKS):
        if folder := layout.bank_of(name):
            sizes[folder][name] = size
    return [ListedBank(store, folder, files) for folder, files in sizes.items()]


def identified(banks: Iterable[ListedBank]) -> tuple[list[ListedBank], list[str]]:
    """Return the banks with a valid bank.json, and why that of others is invalid."""
    found, wrong = [], []
    for bank in banks:
        try:
            if bank.has(layout.IDENTITY) and bank.identity:
                found.append(bank)
        except Damaged as error:
            wrong.append(str(error))
    return found, wrong


def settings_tried(store: Store, fingerprint: str) -> dict[tuple[str, str], int]:
    """Count the settings with finished runs on a benchmark, by (algorithm, source)."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    banks, _ = identified(bank for bank in list_banks(store, fingerprint) if bank.finished)
    for identity in (bank.identity for bank in banks):
        found[identity["algorithm"], identity["source"]].add(canonical_json(identity["hyper_parameters"]))
    return {source: len(settings) for source, settings in found.items()}
