"""Names each bank by what distinguishes it from others, and finds the usual number of runs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from forget512.harness.errors import printable
from forget512.harness.hashing import canonical_json
from forget512.harness.store.bank import StoredBank
from forget512.harness.store.listing import ListedBank


def usual_runs(banks: Sequence[StoredBank | ListedBank]) -> int:
    """Return the number of runs that most banks have; the larger one if two are equally frequent."""
    counts = Counter(bank.tried for bank in banks if len(bank.readings) > 1)
    return max(counts, key=lambda runs: (counts[runs], runs), default=2)


def label(banks: Sequence[StoredBank | ListedBank]) -> None:
    """Name each bank after its algorithm; if several share one, add what differs."""
    for bank in banks:
        alike = [other.identity for other in banks if other.identity["algorithm"] == bank.identity["algorithm"]]
        parts = [
            f"{name}={canonical_json(bank.identity['hyper_parameters'].get(name))}"
            for name in _differing([identity["hyper_parameters"] for identity in alike])
        ]
        same = [one for one in alike if one["hyper_parameters"] == bank.identity["hyper_parameters"]]
        parts += [
            f"{name} {str(bank.identity[name])[:8]}"
            for name in _differing(same)
            if name in bank.identity and name not in ("benchmark", "hyper_parameters")
        ]
        bank.name = printable(bank.identity["algorithm"] + (f" ({', '.join(parts)})" if parts else ""))


def _differing(values: Sequence[dict[str, Any]]) -> list[str]:
    names = sorted({name for each in values for name in each})
    return [name for name in names if len({canonical_json(each.get(name)) for each in values}) > 1]
