"""Verify a store: every file against its own checksum and against what it should be."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from forget512.harness.candidates.source import Unreadable, source_hash
from forget512.harness.hashing import sha256
from forget512.harness.store.confidences import decode_confidences
from forget512.harness.store.files import Store, StoreUnavailable
from forget512.harness.store.import_notes import PREFIX, decode_origin, origin_name
from forget512.harness.store.originals import ACCURACIES
from forget512.harness.store.record import CONFIDENCES, RECORD_NAME, Damaged, RunRecord, decode, record_name
from forget512.harness.workflows.examination import EXAMINED


@dataclass(frozen=True)
class Checked:
    """One file: its name, what is wrong with it (empty: nothing), and whether it is not there or must stay."""

    name: str
    problem: str = ""
    missing: bool = False


def verify(store: Store) -> Iterator[Checked]:
    """Check benchmarks, banks, records and original models, one file in memory at a time.

    A record must have its checksum and name, belong to its bank, and have the benchmark's numbers of examples; a bank's
    folder must be named by its identity, a benchmark's file by its fingerprint, an original model by its content.
    """
    names = {part: [name for name, _ in store.list(part)] for part in ("benchmarks", "banks", "originals")}
    descriptions: dict[str, Any] = {}
    for name in names["benchmarks"]:
        yield _checked(store, name, lambda data, name=name: _benchmark(data, name, descriptions))
    for name in names["originals"]:
        yield _checked(store, name, lambda data, name=name: _original(data, name, set(names["originals"])))
    folders: dict[str, list[str]] = {}
    for name in names["banks"]:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    for folder, files in folders.items():
        yield from _bank(store, folder, files, descriptions)


def _bank(store: Store, folder: str, files: list[str], descriptions: dict[str, Any]) -> Iterator[Checked]:
    """bank.json, then the records; without a sound bank.json the folder's name must do."""
    key, description = folder.rpartition("-")[2], descriptions.get(folder.split("/")[1])
    described = f"{folder}/bank.json"
    records = [name for name in files if RECORD_NAME.fullmatch(name.rpartition("/")[2])]
    if described in files:
        checked = _checked(store, described, lambda data: _identity(data, folder))
        yield checked
        if not checked.problem:
            key = sha256(json.loads(store.get(described)))
    elif records:
        yield Checked(described, "is missing: the next run of this algorithm writes it again", missing=True)
    if records and description is None:
        name = f"benchmarks/{folder.split('/')[1]}.json"
        yield Checked(name, f"is missing or damaged, and {folder} needs it", missing=True)
    if f"{folder}/{EXAMINED}" in files:
        yield _checked(store, f"{folder}/{EXAMINED}", lambda data: _examined(data, store, described))
    if f"{folder}/source.json" in files:
        try:
            yield _checked(store, f"{folder}/source.json", lambda data: _source(data, store, described))
        except Unreadable as error:
            yield Checked(f"{folder}/source.json", str(error), missing=True)
    for name in files:
        file = name.rpartition("/")[2]
        if file.startswith(PREFIX):  # never set aside: without it, others' runs would pass for own ones
            yield replace(_checked(store, name, lambda data, file=file: _origin(data, file)), missing=True)
        elif file.startswith(CONFIDENCES.partition("{")[0]):
            yield _checked(store, name, lambda data, file=file: _confidences(data, file, description))
    for name in records:
        yield _checked(store, name, lambda data, name=name: _record(decode(data), name, key, description))


def _checked(store: Store, name: str, check: Any) -> Checked:
    try:
        check(store.get(name))
    except FileNotFoundError:
        return Checked(name)  # removed or set aside meanwhile
    except StoreUnavailable as error:
        list(store.list("benchmarks"))  # raises where not this file alone cannot be read
        return Checked(name, f"cannot be read ({error.why})")
    except Damaged as error:
        return Checked(name, str(error))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Checked(name, f"it cannot be read as what it should be ({type(error).__name__})")
    return Checked(name)


def _benchmark(data: bytes, name: str, descriptions: dict[str, Any]) -> None:
    description = json.loads(data)
    fingerprint = sha256(description["identity"])
    if description["fingerprint"] != fingerprint or name != f"benchmarks/{fingerprint[:12]}.json":
        raise Damaged(f"its identity has the fingerprint {fingerprint[:12]}, another one than it says")
    if description.pop("sha256", None) not in (None, sha256(description)):  # older versions wrote none
        raise Damaged("its checksum does not match")
    descriptions[fingerprint[:12]] = description


def _original(data: bytes, name: str, names: set[str]) -> None:
    if name.endswith(".safetensors"):
        if sha256(data) != name.rpartition("/")[2].removesuffix(".safetensors"):
            raise Damaged("its content is not the one that it is named by")
        return
    if name.endswith("-accuracies.json"):
        if not all(0 <= json.loads(data)[each] <= 1 for each in ACCURACIES):
            raise Damaged("its accuracies are no fractions")
        return
    target = f"originals/{json.loads(data)['sha256']}.safetensors"
    if target not in names:
        raise Damaged(f"it points at {target}, which is missing")


def _identity(data: bytes, folder: str) -> None:
    identity = json.loads(data)
    _, fingerprint, bank = folder.split("/")
    expected = f"{identity['algorithm']}-{sha256(identity)[:12]}"
    if bank != expected or identity["benchmark"][:12] != fingerprint:
        raise Damaged(f"it describes {identity['benchmark'][:12]}/{expected}, not this folder")


def _examined(data: bytes, store: Store, described: str) -> None:
    digests = [checkpoint["sha256"] for checkpoint in json.loads(data)["checkpoints"]]
    if sha256(digests) != json.loads(store.get(described))["source"]:
        raise Damaged("its checkpoints' hashes are not those that the bank is named by")


def _source(data: bytes, store: Store, described: str) -> None:
    if source_hash(json.loads(data)) != json.loads(store.get(described))["source"]:
        raise Damaged("it is not the source that the bank is named by")


def _origin(data: bytes, file: str) -> None:
    if origin_name(decode_origin(data).sha256) != file:
        raise Damaged("it is of another import than it is named by")


def _confidences(data: bytes, file: str, description: dict[str, Any] | None) -> None:
    arrays = decode_confidences(data)
    runs, examples = arrays["confidences"].shape
    if CONFIDENCES.format(runs) != file:
        raise Damaged(f"it holds {runs} runs, another number than its name says")
    if description is not None and examples != len(description["forget_targets"]):
        raise Damaged(
            f"it has confidences of {examples} examples, and the benchmark {len(description['forget_targets'])}"
        )


def _record(record: RunRecord, name: str, key: str, description: dict[str, Any] | None) -> None:
    if record_name(record) != name.rpartition("/")[2]:
        raise Damaged(f"it is the record {record_name(record)}")
    if not record.bank.startswith(key):  # 12 digits of it where bank.json is not sound
        raise Damaged(f"it belongs to another bank ({record.bank[:12]})")
    if record.status == "finished" and description is not None:
        shape = len(description["forget_targets"]), description["identity"]["data"]["classes"]
        if record.forget_logits.shape != shape:
            raise Damaged(f"its logits are {record.forget_logits.shape}, and the benchmark's {shape}")
