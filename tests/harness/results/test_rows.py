"""Rows: costs and warnings of a candidate, and what disqualifies it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forget512.harness.results.board import leaderboard
from forget512.harness.store.runs import Runs
from support.tiny import PROVENANCE

pytestmark = pytest.mark.usefixtures("coarse_projection")


def change(bank: Runs, *readings, **values) -> None:
    """Replace fields of a bank's readings: those of its seeds, or of all."""
    for seed in readings or list(bank.readings):
        bank.readings[seed] = replace(bank.readings[seed], **values)


def row_of(evaluation, name="finetune"):
    return next(row for row in leaderboard(evaluation, project_to=None).rows if row.algorithm == name)


def names(row) -> set[str]:
    return {warning.name for warning in row.warnings}


def test_costs_are_of_eager_seconds_whatever_engine_made_the_runs(filled):
    evaluation = filled(16, finetune=(0.5, 0.8, 16))
    fast = replace(PROVENANCE, engine="rows")
    change(evaluation.reference, provenance=fast, seconds=1.0)
    change(evaluation.reference, 0, 1, 2, provenance=fast, seconds=1.0, eager_seconds=4.0)
    change(evaluation.banks["finetune"], seconds=2.0)  # a loop of its own, which no engine carries
    cost = row_of(evaluation).cost
    assert (cost.seconds, cost.share) == (2.0, 0.5)
    change(evaluation.banks["finetune"], provenance=fast, seconds=0.5)
    change(evaluation.banks["finetune"], 0, 1, 2, provenance=fast, seconds=0.5, eager_seconds=2.0)
    cost = row_of(evaluation).cost
    assert (cost.seconds, cost.share, cost.timed) == (2.0, 0.5, 16)


def test_the_mean_counts_and_a_median_far_below_it_is_named(filled):
    evaluation = filled(16, finetune=(0.5, 0.8, 16))
    bank = evaluation.banks["finetune"]
    change(evaluation.reference, seconds=10.0)
    change(bank, seconds=0.01)
    assert "uneven-seconds" not in names(row_of(evaluation))
    change(bank, *range(7), seconds=12.0)  # 7 of 16 runs retrain, and longer than the recipe
    row = row_of(evaluation)
    assert row.cost.seconds == pytest.approx((7 * 12 + 9 * 0.01) / 16) and row.cost.median == 0.01
    assert row.cost.slowest == 12.0 and "uneven-seconds" in names(row)


def test_another_engine_is_no_warning_but_networks_of_another_program_are(filled):
    evaluation = filled(16, finetune=(0.5, 0.8, 16))
    change(evaluation.reference, provenance=replace(PROVENANCE, engine="rows"))
    assert not {name for name in names(row_of(evaluation)) if "engine" in name or name == "examined"}
    change(evaluation.banks["finetune"], provenance=replace(PROVENANCE, engine="examined"))
    assert "examined" in names(row_of(evaluation))


def test_what_the_original_model_knows_is_compared_with_what_is_left(filled):
    evaluation = filled(40, finetune=(0.3, 0.9, 40), forget_remember=(0.3, 0.9, 40))
    bank = evaluation.banks["finetune"]
    for seed, reading in bank.readings.items():  # its forget examples rise far above the unseen ones
        bank.readings[seed] = replace(reading, confidences=reading.confidences + 3.0)
    remembers, forgets = row_of(evaluation), row_of(evaluation, "forget_remember")
    assert remembers.assessment.not_forgotten.share > forgets.assessment.not_forgotten.share
    assert remembers.assessment.not_forgotten.p < 0.01


@pytest.mark.parametrize(
    ("trick", "name"),
    [
        (lambda r, u, seed: r[seed % 5] + 0.001 * seed, "duplicate-runs"),
        (lambda r, u, seed: r[seed].copy(), "copied-runs"),
    ],
)
def test_what_independent_runs_cannot_have_is_not_ranked(filled, trick, name):
    evaluation = filled(40, finetune=(0.5, 0.8, 40), forget_remember=(0.5, 0.8, 40))
    bank = evaluation.banks["finetune"]
    r = np.array([evaluation.reference.readings[seed].confidences for seed in range(40)])
    for seed, reading in bank.readings.items():
        bank.readings[seed] = replace(reading, confidences=trick(r, reading.confidences, seed))
    row = row_of(evaluation)
    assert name in names(row) and not row.ranked and row.score is not None
    assert row_of(evaluation, "forget_remember").ranked
