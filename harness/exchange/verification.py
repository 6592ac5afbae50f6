"""Verifies a bundle: recomputes every number from its arrays."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.errors import UserError, first_line, one_of, printable
from forget512.harness.exchange.bundle import Bundle, read_bundle
from forget512.harness.exchange.exporting import score_all
from forget512.harness.exchange.packed_bank import PackedBank
from forget512.harness.store.benchmarks import StoredBenchmark, parse_benchmark
from forget512.harness.store.record import Damaged
from forget512.scoring import MODES

CLOSE = 1e-9  # relative: another machine's rounding may change this much


@dataclass(frozen=True)
class Verdict:
    """Differences between a bundle's numbers and its arrays. numbers: how many numbers were recomputed."""

    differences: list[str]
    numbers: int


def verify(path: Path) -> tuple[Bundle, Verdict]:
    """Recompute every number of a bundle from its arrays.

    Raises:
        UserError: it cannot be read as a bundle.
    """
    bundle = read_bundle(path)
    differences = bundle.damage()
    if differences:  # the numbers of damaged arrays would mean nothing
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
            differences.append(f"{bank.name}: the number of its ε is not that of the forget examples")
        else:
            wrong = ~np.isclose(bank.epsilon, own, rtol=CLOSE, atol=0, equal_nan=True)
            if wrong.any():
                count, first = int(wrong.sum()), int(wrong.argmax())
                differences.append(f"{bank.name}: ε of {count} examples differ, the first is example {first}")
    return bundle, Verdict([printable(line) for line in differences], numbers)


def unpack(bundle: Bundle) -> tuple[StoredBenchmark, list[PackedBank]]:
    """Read a bundle's benchmark and banks, the reference's first.

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
        raise Damaged(f"a bank in it is invalid ({type(error).__name__}: {first_line(error)})") from error
    if len({bank.key for bank in banks}) < len(banks):
        raise Damaged("it holds a bank twice")
    if any(len(bank.readings) < 2 or max(bank.readings) >= bundle.manifest["runs"] for bank in banks):
        raise Damaged("a bank has fewer than 2 runs, or seeds beyond its N")
    return benchmark, banks


def _accuracies(bank: PackedBank, benchmark: StoredBenchmark) -> Iterator[str]:
    """Check the accuracies that the arrays determine: of the forget set, and of a set that the probe contains whole."""
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
                    f"{bank.name}, seed {record.seed}: {kind} accuracy is stated as {claimed:.6f}, but its logits give "
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
        yield f"{where} is stated as {json.dumps(claimed)[:80]}, but the arrays give {json.dumps(found)}"


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
