"""Export banks as a bundle, verify a bundle's numbers from its arrays, import what others have run."""

import json
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import read_side
from harness.assess import assess, cost, scoring_errors
from harness.bank import Runs, list_records
from harness.benchmark import Benchmark
from harness.board import NO_REFERENCE, label, usual_runs
from harness.bundle import FORMAT, Bundle, read_bundle, write_bundle
from harness.errors import UserError, first_line, one_of, printable
from harness.identity import canonical_json, sha256
from harness.origin import Origin, put_origin, set_aside_damaged
from harness.packed import PackedBank, pack
from harness.record import CONFIDENCES, Damaged, record_name
from harness.report import score_json
from harness.store import Store
from harness.stored import (
    ACCURACIES,
    RETRAIN,
    StoredBank,
    StoredBenchmark,
    choose_reference,
    encode_confidences,
    parse_benchmark,
    read_benchmark,
    stored_banks,
    stored_benchmarks,
)
from scoring import MODES, ceiling

CLOSE = 1e-9  # relative: what another machine's rounding may change


@dataclass(frozen=True)
class Verdict:
    """What a bundle says that its arrays do not; empty where it is honest. numbers: how many were computed anew."""

    differences: list[str]
    numbers: int


def export_banks(
    store: Store, algorithms: Sequence[str], out: Path, runs: int | None, mode: str, benchmark: str | None
) -> str:
    """Write the reference's bank and those of some algorithms to one file; its SHA-256.

    algorithms: as the leaderboard, a bank's folder or a candidate's file calls them. runs: N; None: what most of these
    banks have. benchmark: how its fingerprint begins; needed where the store has several.

    Raises:
        UserError: no such bank, or nothing to score, or out exists or cannot be written.
    """
    try:
        described = read_benchmark(store, _choose_benchmark(store, benchmark))
        banks, _ = stored_banks(store, described, mode)
        label(banks)
        reference = choose_reference(banks, runs or usual_runs(banks))
        if reference is None:
            raise UserError(f"{store}, benchmark {described.fingerprint[:12]}: {NO_REFERENCE}")
        chosen: list[StoredBank] = [reference]
        for name in algorithms:
            bank = _find(name, [bank for bank in banks if bank.identity["algorithm"] != RETRAIN])
            if bank not in chosen:
                chosen.append(bank)
        wanted = runs or usual_runs(chosen)
        short = next((bank for bank in chosen if len(bank.seeds(wanted)) < 2), None)
        if short is not None:
            raise UserError(f"{short.name} has {len(short.seeds(wanted))} finished runs below {wanted}: 2 are needed.")
        packed = [pack(store, bank, wanted, number) for number, bank in enumerate(chosen)]
        description = json.loads(store.get(f"benchmarks/{described.fingerprint[:12]}.json"))
    except Damaged as error:
        raise UserError(f"{store} cannot be exported: {error}.") from error
    for bank in chosen:
        bank.readings = {seed: bank.readings[seed] for seed in bank.seeds(wanted)}
    scores, epsilons = score_all(chosen, described, mode)
    arrays = {name: values for _, own in packed for name, values in own.items()}
    arrays |= {f"{number}/epsilon": values for number, values in enumerate(epsilons, 1)}
    manifest = {
        "format": FORMAT,
        "made": {name: _version(name) for name in ("forget512", "torch", "numpy", "scipy", "numba")}
        | {"python": platform.python_version()},
        "benchmark": description,
        "mode": mode,
        "runs": wanted,
        "banks": [entry for entry, _ in packed],
        "scores": scores,
    }
    return write_bundle(out, manifest, arrays)


def score_all(
    banks: Sequence[Runs], benchmark: StoredBenchmark, mode: str
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """The numbers of each bank but the first against the first, the reference's, as JSON; and their ε, (S,) each.

    Raises:
        UserError: they cannot be scored.
    """
    reference, epochs = banks[0], benchmark.identity["recipe"]["epochs"]
    base = reference.columns(sorted(reference.readings))
    with scoring_errors(reference.name):
        top = ceiling(base.confidences, mode=mode)
    numbers, epsilons = [], []
    for bank in banks[1:]:
        columns = bank.columns(sorted(bank.readings))
        with scoring_errors(bank.name):
            found = assess(base, columns, mode, top)
        paid = cost(reference.median_seconds(), bank.median_seconds(), epochs)
        values = score_json(found, paid)
        del values["warnings"], values["missing"]  # sentences
        for side, own in (("retrained", base), ("unlearned", columns)):
            for name in ACCURACIES:
                known = getattr(own, name)
                values[f"{side}_{name}"] = None if known is None else float(known.mean())
        numbers.append(_jsonable(values))
        epsilons.append(found.score.epsilon)
    return numbers, epsilons


def verify(path: Path) -> tuple[Bundle, Verdict]:
    """Compute every number of a bundle anew from its arrays.

    Raises:
        UserError: it cannot be read as a bundle.
    """
    bundle = read_bundle(path)
    differences = bundle.damage()
    if differences:  # what other arrays give is no news
        return bundle, Verdict([printable(line) for line in differences], 0)
    try:
        benchmark, banks = unpack(bundle)
        for bank in banks:
            differences += _accuracies(bank, benchmark)
        scores, epsilons = score_all(banks, benchmark, bundle.manifest["mode"])
    except (Damaged, UserError) as error:
        return bundle, Verdict([printable(line) for line in (*differences, str(error))], 0)
    numbers = 0
    for bank, claimed, found, own in zip(banks[1:], bundle.manifest["scores"], scores, epsilons, strict=True):
        numbers += len(list(_leaves(found))) + len(own)
        differences += [f"{bank.name}: {line}" for line in _compare(claimed, found, "")]
        if bank.epsilon is None or bank.epsilon.shape != own.shape:
            differences.append(f"{bank.name}: its ε are not one for each forget example")
        else:
            wrong = ~np.isclose(bank.epsilon, own, rtol=CLOSE, atol=0, equal_nan=True)
            if wrong.any():
                count, first = int(wrong.sum()), int(wrong.argmax())
                differences.append(f"{bank.name}: ε of {count} examples differ, the first is example {first}")
    return bundle, Verdict([printable(line) for line in differences], numbers)


def unpack(bundle: Bundle) -> tuple[StoredBenchmark, list[PackedBank]]:
    """Its benchmark and its banks, the reference's first.

    Raises:
        Damaged: they contradict themselves, or each other.
    """
    benchmark = parse_benchmark(bundle.manifest["benchmark"])
    try:
        one_of("its mode", bundle.manifest["mode"], MODES)
        banks = [PackedBank(bundle, number, benchmark) for number in range(len(bundle.manifest["banks"]))]
    except UserError as error:
        raise Damaged(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"a bank in it is not built as ours are ({type(error).__name__}: {first_line(error)})") from error
    if len({bank.key for bank in banks}) < len(banks):
        raise Damaged("it holds a bank twice")
    if any(len(bank.readings) < 2 or max(bank.readings) >= bundle.manifest["runs"] for bank in banks):
        raise Damaged("a bank has fewer than 2 runs, or seeds beyond its N")
    return benchmark, banks


def import_bundle(store: Store, path: Path, benchmark: str | None) -> list[str]:
    """Put a bundle's banks into a store, each with where it comes from; a line for each.

    Its candidates' sources are kept as text, in JSON, for people: no command imports or runs them.

    Raises:
        UserError: its numbers are not those of its arrays, or it is of another benchmark than the one stated.
    """
    bundle, verdict = verify(path)
    if verdict.differences:
        raise UserError(
            f"{path} is refused: {verdict.differences[0]}"
            + (f" (and {len(verdict.differences) - 1} more: see `verify`)" if verdict.differences[1:] else "")
            + "."
        )
    described, banks = unpack(bundle)
    _check_benchmark(described.fingerprint, benchmark, path)
    _describe(store, described, bundle.manifest["benchmark"])
    said = []
    for bank in banks:
        there = {seed for seed, attempt, _ in list_records(store, bank.folder) if attempt is None}
        new = [record for record in bank.records if record.seed not in there]
        seeds = tuple(record.seed for record in new) or (() if bank.records else tuple(bank.readings))
        if set_aside_damaged(store, bank.folder, bundle.sha256):  # it cannot say any more which runs it brought
            seeds = tuple(bank.readings)
        store.put_if_absent(f"{bank.folder}/bank.json", canonical_json(bank.identity).encode())
        if bank.source is not None:
            store.put_if_absent(f"{bank.folder}/source.json", canonical_json(bank.source).encode())
        if seeds:  # before the records: at no moment do they pass for own ones
            put_origin(store, bank.folder, Origin(" from ".join([path.name, *bank.files]), bundle.sha256, seeds))
        for record in new:
            store.put_if_absent(f"{bank.folder}/{record_name(record)}", record.encode())
        if bank.confidences:
            name = CONFIDENCES.format(len(bank.readings))
            store.put_if_absent(f"{bank.folder}/{name}", encode_confidences(bank.confidences))
        kept = len(bank.readings) - (len(new) if bank.records else len(seeds))
        already = f", {kept} were there already" if kept else ""
        said.append(f"{bank.folder}: {len(bank.readings) - kept} runs imported{already}.")
    return said


def import_confidences(store: Store, path: Path, benchmark: Benchmark, stated: str | None) -> list[str]:
    """Put the published program's `retrain_confs.npz` (or one like it) into a store as a reference bank.

    Raises:
        UserError: it cannot be read, does not fit the benchmark, or that is not the one stated.
    """
    _check_benchmark(benchmark.fingerprint, stated, path)
    side = read_side(path, "import")
    confidences = np.asarray(side.columns.confidences, np.float64)
    if confidences.ndim != 2 or confidences.shape[1] != len(benchmark.forget_targets) or len(confidences) < 2:
        raise UserError(
            f"{path} has confidences of shape {confidences.shape}, but this benchmark forgets "
            f"{len(benchmark.forget_targets)} examples: (N, {len(benchmark.forget_targets)}) is needed, N at least 2."
        )
    if side.targets is not None and not np.array_equal(side.targets, benchmark.forget_targets):
        differ = int((np.asarray(side.targets) != benchmark.forget_targets).sum())
        raise UserError(
            f"{path}: its `targets` are not the classes of this benchmark's forget examples ({differ} of "
            f"{len(benchmark.forget_targets)} differ): give the same examples in the benchmark's order."
        )
    known = {name: getattr(side.columns, name) for name in ACCURACIES}
    arrays = {name: np.asarray(values, np.float64) for name, values in known.items() if values is not None}
    for name, values in arrays.items():
        if values.shape != (len(confidences),) or not ((values >= 0) & (values <= 1)).all():
            raise UserError(f"{path}: {name} must be {len(confidences)} fractions between 0 and 1, one for each run.")
    if side.all_seconds is not None:
        arrays["seconds"] = np.asarray(side.all_seconds, np.float64)
    arrays["confidences"] = confidences
    digest = sha256(path.read_bytes())
    identity: dict[str, Any] = {
        "benchmark": benchmark.fingerprint,
        "algorithm": RETRAIN,
        "hyper_parameters": {},
        "source": digest,
        "original": None,
    }
    described = parse_benchmark(benchmark.description)
    folder = f"{described.folder}/{RETRAIN}-{sha256(identity)[:12]}"
    _describe(store, described, benchmark.description)
    store.put_if_absent(f"{folder}/bank.json", canonical_json(identity).encode())
    set_aside_damaged(store, folder, digest)
    put_origin(store, folder, Origin(path.name, digest, tuple(range(len(confidences)))))
    store.put_if_absent(f"{folder}/{CONFIDENCES.format(len(confidences))}", encode_confidences(arrays))
    return [
        f"{folder}: confidences of {len(confidences)} runs imported. That they are of this benchmark's "
        f"{confidences.shape[1]} forget examples, in its order, is your word: the file does not say."
    ]


def _choose_benchmark(store: Store, stated: str | None) -> str:
    there = stored_benchmarks(store)
    found = [short for short in there if short.startswith((stated or "")[:12])]
    if len(found) != 1:
        raise UserError(
            f"--benchmark {stated or '(not given)'}: {store} has {', '.join(there) or 'no benchmark'}: give one."
        )
    return found[0]


def _find(name: str, banks: Sequence[StoredBank]) -> StoredBank:
    def called(bank: StoredBank) -> set[str]:
        method = bank.identity["algorithm"]
        return {bank.name, bank.folder.rpartition("/")[2], method, method.partition("@")[0]}

    exact = [bank for bank in banks if name in (bank.name, bank.folder.rpartition("/")[2])]
    found = exact or [bank for bank in banks if name.removesuffix(".py") in called(bank)]
    if len(found) > 1:
        folders = ", ".join(bank.folder.rpartition("/")[2] for bank in found)
        raise UserError(f"{name} may be one of {len(found)} banks: name its folder ({folders}).")
    if not found:
        one_of("algorithm", name, [bank.name for bank in banks])
    return found[0]


def _check_benchmark(fingerprint: str, stated: str | None, path: Path) -> None:
    if stated and not fingerprint.startswith(stated):
        raise UserError(f"{path} is of benchmark {fingerprint[:12]}, but --benchmark {stated} is wanted.")


def _describe(store: Store, described: StoredBenchmark, description: Any) -> None:
    """Keep a benchmark's description, or see that it is the one that is there."""
    name = f"benchmarks/{described.fingerprint[:12]}.json"
    if store.put_if_absent(name, canonical_json(description).encode()):
        return
    try:
        own = read_benchmark(store, described.fingerprint[:12]).targets
    except Damaged as error:
        raise UserError(f"{store}: {error}: `evaluate` writes it anew.") from error
    theirs = described.targets
    for part in ("forget", "retain_probe", "test_probe"):
        one, other = getattr(own, part), getattr(theirs, part)
        if one is not None and other is not None and not np.array_equal(one, other):
            raise UserError(f"the classes of its {part} examples are not those that the store has: it is refused.")


def _accuracies(bank: PackedBank, benchmark: StoredBenchmark) -> Iterator[str]:
    """Accuracies that can be had from the arrays: of the forget set, and of a set that the probe has whole."""
    targets, split = benchmark.targets, benchmark.identity["split"]
    for kind, logits, known in (
        ("forget", "forget_logits", targets.forget),
        ("retain", "probe_retain_logits", targets.retain_probe),
        ("test", "probe_test_logits", targets.test_probe),
    ):
        if known is None or len(known) != split[kind]["examples"]:
            continue
        for record in bank.records:
            found = float((getattr(record, logits).argmax(axis=1) == known).mean())
            claimed = getattr(record, f"{kind}_accuracy")
            if not math.isclose(found, claimed, rel_tol=CLOSE, abs_tol=CLOSE):
                yield (
                    f"{bank.name}, seed {record.seed}: {kind} accuracy is said to be {claimed:.6f}, its logits give "
                    f"{found:.6f}"
                )
                break


def _compare(claimed: Any, found: Any, where: str) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(claimed, dict):
        for name in sorted(found.keys() | claimed.keys()):
            yield from _compare(claimed.get(name), found.get(name), f"{where}.{name}" if where else name)
    elif isinstance(found, list) and isinstance(claimed, list) and len(found) == len(claimed):
        for place, (one, other) in enumerate(zip(claimed, found, strict=True)):
            yield from _compare(one, other, f"{where}[{place}]")
    elif not _same(claimed, found):
        yield f"{where} is said to be {json.dumps(claimed)[:80]}, the arrays give {json.dumps(found)}"


def _same(claimed: Any, found: Any) -> bool:
    if type(found) is float and type(claimed) in (int, float):
        return math.isclose(claimed, found, rel_tol=CLOSE, abs_tol=1e-12)
    return type(claimed) is type(found) and claimed == found


def _leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    elif isinstance(value, int | float):
        yield value


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    return json.loads(canonical_json(values))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
