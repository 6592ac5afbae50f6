"""Converts a bank to arrays of a bundle and back: one array for each field of its records, one row a run."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from forget512.harness.candidates.algorithm import RETRAIN
from forget512.harness.candidates.source import ENCODINGS, Unreadable, source_hash, source_text
from forget512.harness.errors import printable
from forget512.harness.exchange.bundle import MOST_RUNS, Bundle
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.benchmarks import StoredBenchmark
from forget512.harness.store.layout import file_name
from forget512.harness.store.record import (
    ACCURACIES,
    ARRAYS,
    PER_RUN,
    Damaged,
    Provenance,
    RunRecord,
    check_confidences,
    decode,
)
from forget512.harness.store.runs import Runs

NUMBERS = {"seed": np.int64, "attempt": np.int64, "seconds": np.float64, "eager_seconds": np.float64}
NUMBERS |= dict.fromkeys(ACCURACIES, np.float64)
LONGEST = 255  # of a name in a bundle: the limit of file names
IDENTITY = {"benchmark", "algorithm", "hyper_parameters", "source", "original"}


def pack(bank: StoredBank, runs: int, number: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Pack a bank: its entry in the manifest, and its arrays, for seeds below runs. number: its index in the bundle.

    Raises:
        Damaged: a record was damaged since it was read.
    """
    seeds = bank.seeds(runs)
    names = bank.listed.finished
    text = bank.source or source_text(bank.identity["algorithm"], {})
    entry: dict[str, Any] = {
        "identity": bank.identity,
        "name": _short(bank.name, file_name(bank.folder)),
        "source": text if _is_source(text, bank.identity["source"]) else None,
        "failed": len({failure.seed for failure in bank.failures if failure.seed < runs} - set(seeds)),
        "origins": [{"file": _short(origin.file), "sha256": origin.sha256} for origin in bank.origins],
        "provenance": [],
    }
    if not names:
        readings = [bank.readings[seed] for seed in seeds]
        known = [name for name in ("confidences", *PER_RUN) if getattr(readings[0], name) is not None]
        return entry, {f"{number}/{name}": np.array([getattr(each, name) for each in readings]) for name in known}
    records = [decode(bank.listed.store.get(names[seed])) for seed in seeds]
    machines = list(dict.fromkeys(record.provenance for record in records))
    entry["provenance"] = [asdict(machine) for machine in machines]
    arrays = {name: np.stack([getattr(record, name) for record in records]) for name in ARRAYS}
    arrays |= {name: np.array([getattr(record, name) for record in records], kind) for name, kind in NUMBERS.items()}
    arrays["provenance"] = np.array([machines.index(record.provenance) for record in records], np.int64)
    return entry, {f"{number}/{name}": values for name, values in arrays.items()}


def _is_source(text: dict[str, Any], source: str) -> bool:
    try:
        return source_hash(text) == source
    except (Unreadable, TypeError, ValueError, KeyError, AttributeError, LookupError):  # written by another version
        return False


class PackedBank(Runs):
    """A bank of a bundle. records: of its runs; empty if it has only confidences (then in `confidences`)."""

    def __init__(self, bundle: Bundle, number: int, benchmark: StoredBenchmark):
        """Unpack a bank. Raises Damaged if it contradicts itself, or could not have been packed."""
        entry, mode = bundle.manifest["banks"][number], bundle.manifest["mode"]
        self.source = entry["source"]
        _check_identity(entry["identity"], self.source, benchmark.fingerprint)
        super().__init__(entry["identity"], benchmark.targets, mode)
        if (self.identity["algorithm"] == RETRAIN) != (number == 0):
            raise Damaged("its first bank, and only that one, must be retrain's")
        self.name = _plain_text(entry["name"], "a bank's name")
        self.files = [_plain_text(origin["file"], "an origin") for origin in entry["origins"]]
        prefix = f"{number}/"
        arrays = {
            name.removeprefix(prefix): bundle.array(name)
            for name in bundle.manifest["arrays"]
            if name.startswith(prefix)
        }
        self.epsilon = arrays.pop("epsilon", None)
        self.confidences: dict[str, np.ndarray] = {}
        self.records: list[RunRecord] = []
        if "confidences" in arrays:
            check_confidences(arrays)
            self.take_confidences(arrays)
            self.confidences = arrays
        else:
            self.records = _records(arrays, entry["provenance"], self.key, benchmark)
            for record in self.records:
                self.take(record)


def _records(
    arrays: dict[str, np.ndarray], machines: Sequence[Any], key: str, benchmark: StoredBenchmark
) -> list[RunRecord]:
    wanted = {*ARRAYS, *NUMBERS, "provenance"}
    if arrays.keys() != wanted:
        raise Damaged(f"a bank's arrays should be {', '.join(sorted(wanted))}, but are {', '.join(sorted(arrays))}")
    runs, classes = len(arrays["seed"]), benchmark.identity["data"]["classes"]
    for name, values in arrays.items():
        kind: Any = np.float32 if name in ARRAYS else NUMBERS.get(name, np.int64)
        shape: tuple[int, ...] = (runs,)
        if name in ARRAYS:
            shape = (runs, values.shape[1] if values.ndim == 3 else -1, classes)
        if values.dtype != kind or values.shape != shape:
            raise Damaged(f"{name} is {values.dtype} of shape {values.shape}, not {np.dtype(kind)} of {shape}")
        if not np.isfinite(values).all() or (name.endswith("_accuracy") and not ((values >= 0) & (values <= 1)).all()):
            raise Damaged(f"{name} has impossible values")
    targets = benchmark.targets
    for name, known in zip(ARRAYS, (targets.forget, targets.retain_probe, targets.test_probe), strict=True):
        if known is not None and arrays[name].shape[1] != len(known):
            raise Damaged(f"{name} has {arrays[name].shape[1]} examples, but the benchmark has {len(known)}")
    seeds, where = arrays["seed"], arrays["provenance"]
    if (
        len(np.unique(seeds)) < runs
        or (seeds < 0).any()
        or (seeds >= MOST_RUNS).any()
        or (arrays["seconds"] < 0).any()
        or (arrays["eager_seconds"] < 0).any()
        or (where < 0).any()
    ):
        raise Damaged("its seeds are not distinct numbers from 0 on, or its seconds or provenance are negative")
    try:
        known_machines = [Provenance(**values) for values in machines]
        places = [known_machines[place] for place in where.tolist()]
    except (TypeError, IndexError) as error:
        raise Damaged("its provenance does not match its runs") from error
    for machine in known_machines:
        if not isinstance(machine.share, int | float) or not 0 < machine.share <= 1:
            raise Damaged("its provenance has an invalid share of a device")
        for text in (machine.torch, machine.device, machine.engine, machine.host, machine.cuda or "none"):
            _plain_text(text, "a provenance")
    return [
        RunRecord(
            bank=key,
            status="finished",
            provenance=places[row],
            **{name: arrays[name][row].item() for name in NUMBERS},
            **{name: arrays[name][row] for name in ARRAYS},
        )
        for row in range(runs)
    ]


def _check_identity(identity: dict[str, Any], source: Any, fingerprint: str) -> None:
    if not identity.keys() >= IDENTITY or not isinstance(identity["hyper_parameters"], dict):
        raise Damaged("a bank does not name its algorithm")
    method = _plain_text(identity["algorithm"], "an algorithm's name")
    for text in (*identity["hyper_parameters"], *identity, identity["source"], identity["original"] or "none"):
        _plain_text(text, "an entry of a bank's identity")
    for name in identity.keys() - IDENTITY:
        _plain_text(identity[name], "an entry of a bank's identity")
    if method.startswith(".") or "/" in method or "\\" in method:
        raise Damaged(f"{method!r} is not a valid name of an algorithm: its path would leave the store")
    if identity["benchmark"] != fingerprint:
        raise Damaged(f"{method} belongs to another benchmark ({str(identity['benchmark'])[:12]})")
    _, at, digest = method.rpartition("@")
    if at and not str(identity["source"]).startswith(digest):
        raise Damaged(f"the name of {method} does not match its source")
    if source is not None:
        try:
            known = all(encoding in ENCODINGS for _, encoding, _ in source["files"])
            right = known and source.keys() == {"files", "algorithms"} and source_hash(source) == identity["source"]
        except Unreadable as error:
            raise Damaged(f"{method}: {error}") from error
        except (TypeError, ValueError, KeyError, LookupError, AttributeError) as error:
            raise Damaged(f"the source of {method} is not text") from error
        if not right:
            raise Damaged(f"the source text of {method} does not match its bank's name")


def _short(text: str, otherwise: str = "") -> str:
    """Shorten a text for `_plain_text`: if it is too long, return `otherwise`, or else its beginning."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST else otherwise or shown[: LONGEST - 1] + "…"


def _plain_text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST or not value.isprintable():
        raise Damaged(f"{what} is not a short printable text")
    return value
