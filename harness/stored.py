"""Benchmarks and banks as a store holds them: what can be scored without the data, and without anybody's code."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from harness.bank import Failure, Reading, Runs, Targets, list_records, read
from harness.benchmark import Benchmark
from harness.identity import canonical_json, sha256
from harness.origin import Origin, read_origins
from harness.record import CONFIDENCES, Damaged, decode
from harness.store import Store
from scoring import MODES, logit_scaled_confidence

RETRAIN = "retrain"
LARGEST = 2**31  # of the epochs and examples of a description: beyond it only a forger writes
PARTS = ("retain", "forget", "validation", "test")
ACCURACIES = ("retain_accuracy", "forget_accuracy", "test_accuracy")
PER_RUN = (*ACCURACIES, "seconds")  # what may be known of a run beside its confidences


@dataclass(frozen=True, eq=False)
class StoredBenchmark:
    """A benchmark by its description: enough to score banks, not to run anything.

    identity: what the fingerprint is the hash of. forget_indices (S,): among the training images; None in stores of
    older versions.
    """

    name: str
    fingerprint: str
    identity: dict[str, Any]
    targets: Targets
    forget_indices: np.ndarray | None

    @property
    def folder(self) -> str:
        return f"banks/{self.fingerprint[:12]}"


def parse_benchmark(description: Any) -> StoredBenchmark:
    """A benchmark from the JSON that describes it.

    Raises:
        Damaged: it is no description, or contradicts itself.
    """
    try:
        identity, name = description["identity"], description["name"]
        fingerprint = sha256(identity)
        if description["fingerprint"] != fingerprint:
            raise Damaged("its fingerprint is not that of what it describes")
        probe = description.get("probe_targets", {})
        targets = Targets(
            _integers(description["forget_targets"]),
            *(_integers(probe[part]) if part in probe else None for part in ("retain", "test")),
        )
        split = identity["split"]["forget"]
        if len(targets.forget) != split["examples"]:
            raise Damaged(f"it has {len(targets.forget)} forget targets for {split['examples']} examples")
        if not all(0 <= t < identity["data"]["classes"] for t in targets.forget.tolist()):
            raise Damaged("a forget target is no class of its")
        indices = description.get("forget_indices")
        if indices is not None:
            indices = _integers(indices)
            if sha256(indices.astype("<i8").tobytes()) != split["sha256"]:
                raise Damaged("its forget indices are not those of its fingerprint")
        numbers = [identity["recipe"]["epochs"], *(identity["split"][part]["examples"] for part in PARTS)]
        texts = [name, identity["model"]["name"], identity["precision"]]
        counted = all(type(number) is int and 0 <= number <= LARGEST for number in numbers) and numbers[0] > 0
        if not counted or not all(map(str.isprintable, texts)):
            raise Damaged("its name, model, precision, epochs or sizes are none")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"it describes no benchmark ({type(error).__name__})") from error
    return StoredBenchmark(name, fingerprint, identity, targets, indices)


def read_benchmark(store: Store, short: str) -> StoredBenchmark:
    """The benchmark whose fingerprint begins with these 12 digits.

    Raises:
        Damaged: the store has no usable description of it.
    """
    name = f"benchmarks/{short}.json"
    try:
        found = parse_benchmark(json.loads(store.get(name)))
    except FileNotFoundError as error:
        raise Damaged(f"{name} is missing") from error
    except (Damaged, ValueError, RecursionError) as error:
        raise Damaged(f"{name} cannot be used: {error}") from error
    if found.fingerprint[:12] != short:
        raise Damaged(f"{name} describes another benchmark ({found.fingerprint[:12]})")
    return found


def stored_benchmarks(store: Store) -> list[str]:
    """The first 12 digits of the fingerprint of each benchmark that has banks."""
    return sorted({name.split("/")[1] for name, _ in store.list("banks") if name.count("/") == 3})


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
        if MODES[self.mode].confidence is not logit_scaled_confidence:
            self.damaged.append(f"{name}: confidences without logits have no meaning in mode {self.mode}")
            return
        try:
            arrays = decode_confidences(store.get(name))
        except Damaged as error:
            self.damaged.append(f"{name}: {error}; it is not counted")
            return
        self.readings |= confidence_readings(arrays)


def confidence_readings(arrays: dict[str, np.ndarray]) -> dict[int, Reading]:
    """By seed, counted from 0: `confidences` (N, S) and the accuracies and seconds that are known, (N,) each."""
    unknown = dict.fromkeys(("correct", "retain_probe", "test_probe", "provenance"))
    found = {}
    for seed, confidences in enumerate(arrays["confidences"]):
        known = {key: float(arrays[key][seed]) if key in arrays else None for key in PER_RUN}
        found[seed] = Reading(confidences, **known, **unknown)  # type: ignore[arg-type]
    return found


def encode_confidences(arrays: dict[str, np.ndarray]) -> bytes:
    """A safetensors file of what `confidence_readings` takes, with its checksum."""
    return save(arrays, metadata={"sha256": _checksum(arrays)})


def decode_confidences(data: bytes) -> dict[str, np.ndarray]:
    """What `confidence_readings` takes, float64.

    Raises:
        Damaged: it holds anything else, or its checksum does not match.
    """
    try:
        arrays = load(data)
    except SafetensorError as error:
        raise Damaged("it is no safetensors file") from error
    check_confidences(arrays)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if header.get("__metadata__", {}).get("sha256") != _checksum(arrays):
        raise Damaged("its checksum does not match")
    return arrays


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    return sha256([[name, list(values.shape), sha256(values.tobytes())] for name, values in sorted(arrays.items())])


def check_confidences(arrays: dict[str, np.ndarray]) -> None:
    """Raises Damaged for what is not `confidences` (N, S) and known accuracies and seconds (N,), finite float64."""
    if "confidences" not in arrays:
        raise Damaged("it holds no confidences")
    for name, values in arrays.items():
        wanted = 2 if name == "confidences" else 1
        known = name in ("confidences", *PER_RUN)
        if (
            not known
            or values.dtype != np.float64
            or values.ndim != wanted
            or len(values) != len(arrays["confidences"])
        ):
            raise Damaged(f"{name} is {values.dtype} of shape {values.shape}")
        if not np.isfinite(values).all():
            raise Damaged(f"{name} has values that are not finite")
        if name in PER_RUN and ((values < 0).any() or (name in ACCURACIES and (values > 1).any())):
            raise Damaged(f"{name} has values that no run can have")


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


class Countable(Protocol):
    """What `choose_reference` needs of a bank. readings: by seed, or the seeds alone."""

    @property
    def folder(self) -> str: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    @property
    def origins(self) -> Sequence[Origin]: ...
    @property
    def readings(self) -> Collection[int]: ...


AnyBank = TypeVar("AnyBank", bound=Countable)


def choose_reference(banks: Iterable[AnyBank], runs: int) -> AnyBank | None:
    """The bank of `retrain` that candidates are scored against, everywhere; None if there is none of 2 runs.

    It is the one with the most finished runs of the first `runs`; of several, one that was done here; then the one with
    the most runs in all.
    """

    def order(bank: AnyBank) -> tuple[int, bool, int, str]:
        return sum(seed < runs for seed in bank.readings), not bank.origins, len(bank.readings), bank.folder

    retrained = [bank for bank in banks if bank.identity["algorithm"] == RETRAIN and len(bank.readings) > 1]
    return max(retrained, key=order, default=None)


def imported_references(store: Store, benchmark: Benchmark, own: str, mode: str) -> list[StoredBank]:
    """The banks of `retrain` that were imported. own: the key of the one that this program would fill itself."""
    found = []
    stored = parse_benchmark(benchmark.description)
    for folder in bank_folders(store, stored.fingerprint[:12]):
        try:
            identity = read_identity(store, folder)
        except Damaged:
            continue
        if identity["algorithm"] == RETRAIN and sha256(identity) != own and read_origins(store, folder):
            found.append(StoredBank(store, folder, stored, mode))
    return found


def settings_tried(store: Store, short: str) -> dict[tuple[str, str], int]:
    """(algorithm, source) -> how many settings of it have finished runs on a benchmark."""
    finished = {name.rpartition("/")[0] for name, _ in store.list(f"banks/{short}") if ".finished." in name}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for identity in _identities(store, short, finished):
        found[identity["algorithm"], identity["source"]].add(canonical_json(identity["hyper_parameters"]))
    return {source: len(settings) for source, settings in found.items()}


def _identities(store: Store, short: str, folders: set[str]) -> Iterator[dict[str, Any]]:
    for folder in bank_folders(store, short):
        if folder in folders:
            try:
                yield read_identity(store, folder)
            except Damaged:
                continue  # said by whoever reads the bank


def _integers(values: Any) -> np.ndarray:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise Damaged("what should be a list of whole numbers is none")
    return np.array(values, np.int64)
