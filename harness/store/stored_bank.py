"""A bank as a store holds it, readable without the data and without anybody's code."""

import json
import re
from typing import Any

from forget512.harness.hashing import sha256
from forget512.harness.store.benchmarks import StoredBenchmark
from forget512.harness.store.confidences import confidence_readings, decode_confidences
from forget512.harness.store.files import Store
from forget512.harness.store.import_notes import read_origins
from forget512.harness.store.layout import list_records
from forget512.harness.store.record import CONFIDENCES, Damaged, decode
from forget512.harness.store.runs import Failure, Runs, read
from forget512.scoring import MODES

RETRAIN = "retrain"


def bank_folders(store: Store, short: str) -> list[str]:
    """Folders of a benchmark's banks that say what they are, by name."""
    return [name.rpartition("/")[0] for name, _ in store.list(f"banks/{short}") if name.endswith("/bank.json")]


def read_identity(store: Store, folder: str) -> dict[str, Any]:
    """What a bank's key is the hash of.

    Raises:
        Damaged: bank.json cannot be read, or is another bank's.
    """
    try:
        identity = json.loads(store.get(f"{folder}/bank.json"))
        method, settings, source = identity["algorithm"], identity["hyper_parameters"], identity["source"]
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{folder}/bank.json cannot be read ({type(error).__name__})") from error
    if not (isinstance(method, str) and isinstance(settings, dict) and isinstance(source, str)):
        raise Damaged(f"{folder}/bank.json does not name an algorithm, its hyper-parameters and source")
    if folder.rpartition("/")[2] != f"{method}-{sha256(identity)[:12]}":
        raise Damaged(f"{folder}/bank.json is another bank's")
    return identity


def read_source(store: Store, folder: str) -> dict[str, Any] | None:
    """The text of a bank's source; None where it was not kept. To be read by people: nothing runs it."""
    try:
        return json.loads(store.get(f"{folder}/source.json"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def count_confidences(store: Store, folder: str) -> int:
    """How many runs of a bank are known by their confidences alone."""
    pattern = re.compile(re.escape(CONFIDENCES).replace(r"\{\}", r"(\d+)"))
    names = (name.rpartition("/")[2] for name, _ in store.list(folder))
    return max((int(match[1]) for name in names if (match := pattern.fullmatch(name))), default=0)


class StoredBank(Runs):
    """The records of a folder in a store. A damaged one is listed in `damaged` and left where it is."""

    def __init__(self, store: Store, folder: str, benchmark: StoredBenchmark, mode: str = "released"):
        """Raises Damaged: the folder does not say what it is."""
        super().__init__()
        self.folder, self.mode = folder, mode
        self.identity = read_identity(store, folder)
        self.key = sha256(self.identity)
        self.name = self.identity["algorithm"]
        self.origins = read_origins(store, folder)
        for seed, attempt, name in list_records(store, folder):
            try:
                record = decode(store.get(name))
                if (record.bank, record.seed) != (self.key, seed):
                    raise Damaged("it belongs elsewhere")
                if record.status == "finished" and record.forget_logits.shape[:1] != benchmark.targets.forget.shape:
                    raise Damaged(f"it has logits of {len(record.forget_logits)} examples")
            except (Damaged, FileNotFoundError) as error:
                self.damaged.append(f"{name}: {error}; it is not counted")
                continue
            if attempt is None:
                self.readings[seed] = read(record, benchmark.targets, mode)
            else:
                self.failures.append(Failure(seed, attempt, record.error, record.traceback, record.output))
        for name, _ in store.list(folder):
            if name.rpartition("/")[2].startswith(CONFIDENCES.partition("{")[0]):
                self._read_confidences(store, name)

    @property
    def tried(self) -> int:
        """How many seeds were begun with: the last one that finished or failed, and all before it."""
        return 1 + max([*self.readings, *(failure.seed for failure in self.failures)], default=-1)

    def _read_confidences(self, store: Store, name: str) -> None:
        if MODES[self.mode].needs_logits:
            self.damaged.append(f"{name}: confidences without logits have no meaning in mode {self.mode}")
            return
        try:
            arrays = decode_confidences(store.get(name))
        except Damaged as error:
            self.damaged.append(f"{name}: {error}; it is not counted")
            return
        self.readings |= confidence_readings(arrays)


def stored_banks(
    store: Store, benchmark: StoredBenchmark, mode: str = "released"
) -> tuple[list[StoredBank], list[str]]:
    """All banks of a benchmark, and what is wrong with those that cannot be read."""
    found, wrong = [], []
    for folder in bank_folders(store, benchmark.fingerprint[:12]):
        try:
            found.append(StoredBank(store, folder, benchmark, mode))
        except Damaged as error:
            wrong.append(str(error))
    return found, wrong
