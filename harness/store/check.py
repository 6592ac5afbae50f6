"""Verifies a store: each file must match its checksum and its name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from forget512.harness.candidates.source import Unreadable, source_hash
from forget512.harness.hashing import sha256
from forget512.harness.store import layout
from forget512.harness.store.backends.contract import Store, StoreUnavailable
from forget512.harness.store.bank import check_record
from forget512.harness.store.benchmarks import StoredBenchmark, parse_benchmark
from forget512.harness.store.import_notes import decode_origin
from forget512.harness.store.listing import ListedBank, list_banks, parse_identity
from forget512.harness.store.record import Damaged, decode, decode_confidences


@dataclass(frozen=True)
class Checked:
    """A checked file. problem: empty if it is valid. missing: it does not exist, or must not be moved."""

    name: str
    problem: str = ""
    missing: bool = False


def verify(store: Store) -> Iterator[Checked]:
    """Check benchmarks, banks, records and original models, one file in memory at a time.

    A record must match its checksum and name, belong to its bank, and have the benchmark's numbers of examples. The
    name of a bank's folder must match its identity, that of a benchmark's file its fingerprint, and that of an original
    model its content.
    """
    originals = {name for name, _ in store.list(layout.ORIGINALS)}
    benchmarks: dict[str, StoredBenchmark] = {}  # by the first 12 digits of their fingerprints
    for name, _ in list(store.list(layout.BENCHMARKS)):
        yield _checked(store, name, _benchmark, name, benchmarks)
    for name in sorted(originals):
        yield _checked(store, name, _original, name, originals)
    for bank in list_banks(store):
        yield from _bank(bank, benchmarks.get(bank.benchmark))


def _bank(bank: ListedBank, benchmark: StoredBenchmark | None) -> Iterator[Checked]:
    """Check bank.json, then the other files; without a valid bank.json, the name gives 12 digits of the key."""
    store, folder = bank.store, bank.folder
    identity: dict[str, Any] = {}
    described = f"{folder}/{layout.IDENTITY}"
    records = [*bank.finished.values(), *bank.attempts.values()]
    if bank.has(layout.IDENTITY):
        yield _checked(store, described, lambda data: identity.update(parse_identity(data, folder)))
    elif records:
        yield Checked(described, "is missing: the next run of this algorithm rewrites it", missing=True)
    key = sha256(identity) if identity else layout.parse_bank_folder(folder)[-1]
    if records and benchmark is None:
        name = layout.benchmark_name(bank.benchmark)
        yield Checked(name, f"is missing or damaged, and {folder} needs it", missing=True)
    for file, check in ((layout.EXAMINED, _examined), (layout.SOURCE, _source)):
        if bank.has(file):
            yield _checked(store, f"{folder}/{file}", check, identity.get("source"))
    for name in bank.sizes:
        if layout.parse_import_note(
            name
        ):  # never set aside, since without it imported runs would pass for this machine's
            yield replace(_checked(store, name, _origin, name, folder), missing=True)
    for name in bank.confidences:
        yield _checked(store, name, _confidences, name, folder, benchmark)
    for name in records:
        yield _checked(store, name, _record, name, key, benchmark)


def _checked(store: Store, name: str, check: Callable[..., None], *known: Any) -> Checked:
    """Check one file. known: further arguments of `check`, after the file's bytes."""
    try:
        check(store.get(name), *known)
    except FileNotFoundError:
        return Checked(name)  # removed or set aside meanwhile
    except StoreUnavailable as error:
        list(store.list(layout.BENCHMARKS))  # raises unless only this file cannot be read
        return Checked(name, f"cannot be read ({error.why})")
    except Unreadable as error:
        return Checked(name, str(error), missing=True)
    except Damaged as error:
        return Checked(name, str(error))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return Checked(name, f"it does not hold what its name states ({type(error).__name__})")
    return Checked(name)


def _benchmark(data: bytes, name: str, benchmarks: dict[str, StoredBenchmark]) -> None:
    description = json.loads(data)
    found = parse_benchmark(description)
    if name != layout.benchmark_name(found.fingerprint):
        raise Damaged(f"it describes another benchmark ({found.fingerprint[:12]})")
    if description.pop("sha256", None) not in (None, sha256(description)):  # older versions wrote none
        raise Damaged("its checksum does not match")
    benchmarks[found.fingerprint[:12]] = found


def _original(data: bytes, name: str, names: set[str]) -> None:
    if (digest := layout.parse_original(name)) is not None:
        if sha256(data) != digest:
            raise Damaged("its content does not match its name")
    elif parsed := layout.parse_examined(name):
        if not decode(data).bank.startswith(parsed[1]):
            raise Damaged("it is the record of another original model")
    elif (target := layout.original_name(json.loads(data)["sha256"])) not in names:
        raise Damaged(f"it points to {target}, which is missing")


def _examined(data: bytes, source: str | None) -> None:
    digests = [checkpoint["sha256"] for checkpoint in json.loads(data)["checkpoints"]]
    if source not in (None, sha256(digests)):
        raise Damaged("its checkpoints' hashes do not match the bank's name")


def _source(data: bytes, source: str | None) -> None:
    if source not in (None, source_hash(json.loads(data))):
        raise Damaged("it does not match the bank's name")


def _origin(data: bytes, name: str, folder: str) -> None:
    if layout.import_note_name(folder, decode_origin(data).sha256) != name:
        raise Damaged("it belongs to another import than its name states")


def _confidences(data: bytes, name: str, folder: str, benchmark: StoredBenchmark | None) -> None:
    runs, examples = decode_confidences(data)["confidences"].shape
    if layout.confidences_name(folder, runs) != name:
        raise Damaged(f"it holds {runs} runs, but its name states another number")
    if benchmark is not None and examples != len(benchmark.targets.forget):
        raise Damaged(
            f"it has confidences of {examples} examples, but the benchmark has {len(benchmark.targets.forget)}"
        )


def _record(data: bytes, name: str, key: str, benchmark: StoredBenchmark | None) -> None:
    record = decode(data)
    check_record(record, name, key)
    if record.status == "finished" and benchmark is not None:
        shape = len(benchmark.targets.forget), benchmark.identity["data"]["classes"]
        if record.forget_logits.shape != shape:
            raise Damaged(f"its logits have shape {record.forget_logits.shape}, but the benchmark's have {shape}")
