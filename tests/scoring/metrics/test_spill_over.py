"""F on sets that were not to be forgotten."""

from __future__ import annotations

import pytest

from forget512.scoring import MODES, ceiling, score, spill_over


@pytest.mark.parametrize("mode", MODES)
def test_each_set_has_the_f_that_score_gives_and_its_own_ceiling(gaussian, mode):
    sets = {"retain": gaussian(runs=40, shift=0.5), "test": gaussian(runs=40, shift=2.0, seed=1)}
    found = spill_over(sets, mode).sets
    assert list(found) == ["retain", "test"]
    for name, (r, u) in sets.items():
        assert found[name].forgetting_quality == score(r, u, mode=mode, resamples=2).forgetting_quality
        assert found[name].ceiling == ceiling(r, mode=mode).quality
        assert found[name].examples == r.shape[1]


def test_without_a_set_it_is_empty_and_below_8_runs_there_is_no_ceiling(gaussian):
    assert spill_over({}).plain() == {} and list(spill_over({}).lines()) == []
    assert spill_over({"retain": gaussian(runs=7)}).sets["retain"].ceiling is None
