"""Computes the additional metrics of a candidate's runs, from one table, for JSON, text and the report."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from forget512.harness.results.assessment import scoring_errors
from forget512.harness.store.runs import Columns
from forget512.scoring import (
    Membership,
    SpillOver,
    ULira,
    blocks,
    convergence,
    joint,
    klom_with_ceiling,
    membership,
    spill_over,
    two_sample_tests,
    u_lira,
)
from forget512.scoring.metrics.u_lira import LEAST_FITTED


class Reading(Protocol):
    """The result of one metric."""

    def plain(self) -> Any:
        """Return the values for JSON, described in docs/scores.schema.json."""

    def lines(self) -> Iterator[str]:
        """Lines of text."""


Readings = dict[str, Reading | None]  # by name; None if the arrays are unknown or have too few runs


def other_readings(retrained: Columns, unlearned: Columns, mode: str = "released") -> Readings:
    """Compute every metric of the table for two sides' runs.

    Raises:
        UserError: the arrays cannot be scored.
    """
    with scoring_errors():
        return {name: read(retrained, unlearned, mode) for name, read in READINGS.items()}


def readings_json(readings: Readings) -> dict[str, Any]:
    """Return the values by name; null if there are none."""
    return {name: reading.plain() if reading is not None else None for name, reading in readings.items()}


def readings_lines(readings: Readings) -> list[str]:
    """Yield the text lines of all metrics."""
    return [line for reading in readings.values() if reading is not None for line in reading.lines()]


def _spill_over(retrained: Columns, unlearned: Columns, mode: str) -> SpillOver:
    probes = {
        "retain": (retrained.retain_probe, unlearned.retain_probe),
        "test": (retrained.test_probe, unlearned.test_probe),
    }
    return spill_over({name: (r, u) for name, (r, u) in probes.items() if r is not None and u is not None}, mode)


def _u_lira(retrained: Columns, unlearned: Columns, mode: str) -> ULira | None:
    r, u = retrained.confidences, unlearned.confidences
    return u_lira(r, u) if min(len(r), len(u)) > LEAST_FITTED else None  # one run is held out


def _membership(retrained: Columns, unlearned: Columns, mode: str) -> Membership | None:
    if retrained.test_probe is None or unlearned.test_probe is None:
        return None
    return membership(retrained.confidences, retrained.test_probe, unlearned.confidences, unlearned.test_probe)


# To add a metric, write a file in scoring/metrics/ and add an entry here: (retrained, unlearned, mode) -> result.
READINGS: dict[str, Callable[[Columns, Columns, str], Reading | None]] = {
    "convergence": lambda r, u, mode: convergence(r.confidences, u.confidences, mode=mode),
    "blocks": lambda r, u, mode: blocks(r.confidences, u.confidences, mode=mode),
    "joint": lambda r, u, mode: joint(r.confidences, u.confidences),
    "spill_over": _spill_over,
    "klom": lambda r, u, mode: klom_with_ceiling(r.confidences, u.confidences),
    "u_lira": _u_lira,
    "membership": _membership,
    "two_sample": lambda r, u, mode: two_sample_tests(r.confidences, u.confidences),
}
