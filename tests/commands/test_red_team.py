"""Candidates that never unlearn, and retrainings under another recipe: what stands beside their scores."""

from __future__ import annotations

import pytest
from benchmarks.red_team import CHEATS, candidates

from forget512 import Result, evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Result:
    folder = tmp_path_factory.mktemp("red")
    return evaluate(*candidates(folder, "digits"), runs=32, store=folder / "store", progress=False)


def names(result: Result, row: str) -> set[str]:
    return {warning.name for warning in result[row].warnings}


def test_noise_that_is_common_to_a_class_is_named_although_f_rises(result):
    row = CHEATS["noise_on_bias.py"]
    assert result[row].share_of_ceiling > 0.3  # as good as a method that forgets
    assert "joint-spread" in names(result, row)
    assert result[row].row.assessment.joint.auc > 0.9


def test_runs_that_retrain_are_paid_for_by_all(result):
    row = CHEATS["some_retrain.py"]
    assert result[row].row.cost.seconds > 2 * result[row].row.cost.median
    assert result[row].row.assessment.joint.auc > 0.8


def test_retraining_under_another_recipe_is_not_told_from_retraining_by_what_runs_have_in_common(result):
    shifts = [each for each in result if each.name.startswith("*shift*")]
    assert min(each.share_of_ceiling for each in shifts) < 0.25  # F sees the recipe
    for each in shifts:
        assert "joint-spread" not in names(result, each.name)
        assert each.row.assessment.joint.interval[0] < 0.6
        memory = each.row.assessment.not_forgotten
        assert memory.p > 0.01 and "remembers" not in names(result, each.name)
