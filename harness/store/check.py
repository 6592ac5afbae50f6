"""Verifies a store: each file has its checksum, and is what its name states."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from forget512.harness.candidates.source import Unreadable, source_hash
from forget512.harness.hashing import sha256
from forget512.harness.store import layout
from forget512.harness.store.backends.contract import Store, StoreUnavailable
from forget512.harness.store.bank import check_record
from forget512.harness.store.import_notes import decode_origin
from forget512.harness.store.listing import ListedBank, list_banks
from forget512.harness.store.record import ACCURACIES, Damaged, RunRecord, decode, decode_confidences


@dataclass(frozen=True)
class Checked:
    """One file: its name, what is wrong with it (empty: nothing), and whether it is missing or must stay."""

    name: str
    problem: str = ""
    missing: bool = False


def verify(store: Store) -> Iterator[Checked]:
    """Check benchmarks, banks, records and original models, one file in memory at a time.

    A record must have its checksum and name, belong to its bank, and have the benchmark's numbers of examples; a bank's
    folder must be named by its identity, a benchmark's file by its fingerprint, an original model by its content.
    """
    originals = {name for name, _ in store.list(layout.ORIGINALS)}
    descriptions: dict[str, Any] = {}
    for name, _ in list(store.list(layout.BENCHMARKS)):
        yield _checked(store, name, lambda data, name=name: _benchmark(data, name, descriptions))
    for name in sorted(originals):
        yield _checked(store, name, lambda data, name=name: _original(data, name, originals))
    for bank in list_banks(store):
        yield from _bank(bank, descriptions)


def _bank(bank: ListedBank, descriptions: dict[str, Any]) -> Iterator[Checked]:
    """bank.json, then the other files; without a valid bank.json, the name gives 12 digits of the key."""
    store, folder, description = bank.store, bank.folder, descriptions.get(bank.benchmark)
    *_, key = layout.parse_bank_folder(folder)
    described = f"{folder}/{layout.IDENTITY}"
    records = [*bank.finished.values(), *bank.attempts.values()]
    if described in bank.sizes:
        checked = _checked(store, described, lambda data: _identity(data, folder))
        yield checked
        if not checked.problem:
            key = sha256(json.loads(store.get(described)))
    elif records:
        yield Checked(described, "is missing: the next run of this algorithm writes it again", missing=True)
    if records and description is None:
        name = layout.benchmark_name(bank.benchmark)
        yield Checked(name, f"is missing or damaged, and {folder} needs it", missing=True)
    for file, check in ((layout.EXAMINED, _examined), (layout.SOURCE, _source)):
        if bank.has(file):
            try:
                yield _checked(store, f"{folder}/{file}", lambda data, check=check: check(data, store, described))
            except Unreadable as error:
                yield Checked(f"{folder}/{file}", str(error), missing=True)
    for name in bank.sizes:
        if layout.parse_import_note(name):  # never set aside: without it, imported runs would pass for this machine's
            yield replace(_checked(store, name, lambda data, name=name: _origin(data, name, folder)), missing=True)
    for name in bank.confidences:
        yield _checked(store, name, lambda data, name=name: _confidences(data, name, folder, description))
    for name in records:
        yield _checked(store, name, lambda data, name=name: _record(decode(data), name, key, description))


def _checked(store: Store, name: str, check: Any) -> Checked:
    try:
        check(store.get(name))
    except FileNotFoundError:
        return Checked(name)  # removed or set aside meanwhile
    except StoreUnavailable as error:
        list(store.list(layout.BENCHMARKS))  # raises unless this file alone cannot be read
        return Checked(name, f"cannot be read ({error.why})")
    except Damaged as error:
        return Checked(name, str(error))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Checked(name, f"it does not hold what its name states ({type(error).__name__})")
    return Checked(name)


def _benchmark(data: bytes, name: str, descriptions: dict[str, Any]) -> None:
    description = json.loads(data)
    fingerprint = sha256(description["identity"])
    if description["fingerprint"] != fingerprint or name != layout.benchmark_name(fingerprint):
        raise Damaged(f"its identity has another fingerprint ({fingerprint[:12]}) than it states")
    if description.pop("sha256", None) not in (None, sha256(description)):  # older versions wrote none
        raise Damaged("its checksum does not match")
    descriptions[fingerprint[:12]] = description


def _original(data: bytes, name: str, names: set[str]) -> None:
    if (digest := layout.parse_original(name)) is not None:
        if sha256(data) != digest:
            raise Damaged("its content is not the one that it is named by")
    elif layout.is_accuracies(name):
        if not all(0 <= json.loads(data)[each] <= 1 for each in ACCURACIES):
            raise Damaged("its accuracies are not fractions between 0 and 1")
    elif (target := layout.original_name(json.loads(data)["sha256"])) not in names:
        raise Damaged(f"it points at {target}, which is missing")


def _identity(data: bytes, folder: str) -> None:
    expected = layout.bank_folder(json.loads(data))
    if expected != folder:
        raise Damaged(f"it describes {expected}, not this folder")


def _examined(data: bytes, store: Store, described: str) -> None:
    digests = [checkpoint["sha256"] for checkpoint in json.loads(data)["checkpoints"]]
    if sha256(digests) != json.loads(store.get(described))["source"]:
        raise Damaged("its checkpoints' hashes are not those that the bank is named by")


def _source(data: bytes, store: Store, described: str) -> None:
    if source_hash(json.loads(data)) != json.loads(store.get(described))["source"]:
        raise Damaged("it is not the source that the bank is named by")


def _origin(data: bytes, name: str, folder: str) -> None:
    if layout.import_note_name(folder, decode_origin(data).sha256) != name:
        raise Damaged("it is of another import than it is named by")


def _confidences(data: bytes, name: str, folder: str, description: dict[str, Any] | None) -> None:
    runs, examples = decode_confidences(data)["confidences"].shape
    if layout.confidences_name(folder, runs) != name:
        raise Damaged(f"it holds {runs} runs, another number than its name states")
    if description is not None and examples != len(description["forget_targets"]):
        raise Damaged(
            f"it has confidences of {examples} examples, and the benchmark {len(description['forget_targets'])}"
        )


def _record(record: RunRecord, name: str, key: str, description: dict[str, Any] | None) -> None:
    check_record(record, name, key)
    if record.status == "finished" and description is not None:
        shape = len(description["forget_targets"]), description["identity"]["data"]["classes"]
        if record.forget_logits.shape != shape:
            raise Damaged(f"its logits are {record.forget_logits.shape}, and the benchmark's {shape}")
