"""The board from a store that is filled already: nothing is trained here."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from forget512.harness.candidates.settings import with_settings
from forget512.harness.errors import UserError
from forget512.harness.results.board import leaderboard
from forget512.harness.scheduling.compute import Compute
from forget512.harness.views.board_table import show_leaderboard
from forget512.harness.views.console import console
from forget512.harness.views.json_output import leaderboard_report
from forget512.harness.workflows.early_stopping import Looks
from forget512.harness.workflows.evaluation import Evaluation

pytestmark = pytest.mark.usefixtures("coarse_projection")
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "scores.schema.json").read_text())
NOWHERE = Compute("cpu", 0, 0.0)  # no actor: a run that were missing could not be done


def text_of(board, evaluation) -> str:
    out = console()
    with out.capture() as capture:
        out.print(show_leaderboard(board, evaluation.benchmark))
    return " ".join(capture.get().split())


def test_the_board_ranks_and_compares_and_its_json_is_as_documented(filled):
    evaluation = filled(40, finetune=(1.0, 0.5, 40), forget_remember=(0.2, 0.9, 40))
    board = leaderboard(evaluation)
    assert [row.algorithm for row in board.rows] == ["forget_remember", "finetune"]
    (pairing,) = board.pairings
    assert (pairing.better, pairing.worse, pairing.comparison.tied) == ("forget_remember", "finetune", False)
    assert board.floor is board.rows[1].score
    said = text_of(board, evaluation)
    for words in (
        "forget_remember is better than finetune by",
        "The floor: the untouched original scores 0",
        "projected from N = 40 to 512",
        "two banks of 20",
    ):
        assert words in said
    answer = json.loads(leaderboard_report(board, evaluation))
    jsonschema.validate(answer, SCHEMA)
    readings = answer["algorithms"][0]["score"]["readings"]
    assert set(readings["spill_over"]) == {"retain", "test"} and readings["membership"] is not None


def test_equal_candidates_are_tied_on_the_board(filled):
    evaluation = filled(40, finetune=(0.5, 0.8, 40), forget_remember=(0.5, 0.81, 40))
    board = leaderboard(evaluation, project_to=None)
    assert board.pairings[0].comparison.tied
    assert "are tied" in text_of(board, evaluation)


def test_scores_of_other_n_are_not_ranked_together(filled):
    evaluation = filled(64, finetune=(0.2, 0.9, 40), forget_remember=(1.0, 0.6, 63))
    board = leaderboard(evaluation, partial=True, project_to=None)
    # the better score, but of 40 runs: F falls with N
    assert [(row.algorithm, row.ranked) for row in board.rows] == [("forget_remember", True), ("finetune", False)]
    assert board.pairings == []
    assert "finetune is not ranked: its N is 40" in text_of(board, evaluation)


def test_the_ceiling_uses_all_that_the_reference_has(filled):
    evaluation = filled(16, reference=40, finetune=(0.5, 0.8, 16))
    assert leaderboard(evaluation, project_to=None).ceiling.runs == 16


def test_the_floor_is_read_from_the_store_where_finetune_is_no_candidate(filled):
    evaluation = filled(16, forget_remember=(0.5, 0.8, 16), floor=(1.5, 0.4, 16))
    board = leaderboard(evaluation, project_to=None)
    assert [row.algorithm for row in board.rows] == ["forget_remember"]
    assert 0 < board.floor.score < board.rows[0].score.score


@pytest.mark.parametrize("mode", ["spec", "exact", "certified"])
def test_every_mode_has_a_board(filled, mode):
    evaluation = filled(40, mode, finetune=(1.0, 0.5, 40), forget_remember=(0.2, 0.9, 40))
    board = leaderboard(evaluation)
    assert board.rows[0].score.mode == mode
    jsonschema.validate(json.loads(leaderboard_report(board, evaluation)), SCHEMA)
    assert f"mode {mode}" in text_of(board, evaluation)
    # Bounds are no ranking.
    assert all(row.ranked == (mode != "certified") for row in board.rows)


def test_looking_stops_when_every_pair_is_decided(filled):
    evaluation = filled(128, finetune=(1.0, 0.5, 128), forget_remember=(0.2, 0.9, 128))
    looks = Looks(evaluation, 0.1)
    evaluation.runs = 32  # as with a store that is empty
    assert list(evaluation.run(NOWHERE, grow=looks.grow)) == []
    assert evaluation.runs == 32
    assert looks.said == ["At N = 32: 1 decided, 0 tied, 0 open of 1 pairs."]


def test_looking_goes_on_to_all_runs_while_a_pair_is_open(filled):
    evaluation = filled(100, finetune=(0.3, 0.9, 100), forget_remember=(0.3, 0.9, 100))
    looks = Looks(evaluation, 1e-3)
    evaluation.runs = 32
    list(evaluation.run(NOWHERE, grow=looks.grow))
    assert evaluation.runs == 100
    assert [line.split(":")[0] for line in looks.said] == [f"At N = {n}" for n in (32, 64, 100)]


def test_a_short_candidate_is_named_and_does_not_hold_up_the_others(filled):
    evaluation = filled(128, finetune=(1.0, 0.5, 128), forget_remember=(0.2, 0.9, 30))
    evaluation.missing = lambda algorithm: []  # its other runs failed
    looks = Looks(evaluation, 0.1)
    list(evaluation.run(NOWHERE, grow=looks.grow))
    assert looks.said == ["At N = 32: nothing to compare; runs of forget_remember are missing."]


def test_looks_start_with_what_the_store_has_and_the_board_shows_their_level(filled):
    evaluation = filled(100, finetune=(0.3, 0.9, 70), forget_remember=(0.3, 0.9, 70), reference=70)
    looks = Looks(evaluation, 0.5)
    assert evaluation.runs == 64 and looks.sizes == (32, 64, 100)
    assert looks.level == pytest.approx(1 - 0.05 / 3)
    (pairing,) = leaderboard(evaluation, project_to=None, level=looks.level).pairings
    assert pairing.comparison.level == looks.level


def test_finetune_with_other_hyper_parameters_is_not_the_floor(filled, store):
    evaluation = filled(16, finetune=(0.9, 0.6, 16))
    changed = with_settings(evaluation.algorithms, ["lr=0.5"])
    board = leaderboard(Evaluation(evaluation.benchmark, changed, 16, store), project_to=None)
    assert board.rows[0].score is None and board.floor.runs == 16


def test_below_8_runs_there_is_no_ceiling_however_many_the_reference_has(filled):
    evaluation = filled(5, reference=40, finetune=(0.5, 0.8, 5))
    assert leaderboard(evaluation).ceiling is None


def test_short_banks_against_a_short_reference_are_compared_at_its_n(filled):
    evaluation = filled(40, reference=20, finetune=(0.9, 0.6, 40), forget_remember=(0.3, 0.9, 25))
    board = leaderboard(evaluation, partial=True)
    assert [row.ranked for row in board.rows] == [True, True] and board.pairings[0].comparison is not None


def test_looking_needs_two_candidates_and_a_share(filled):
    evaluation = filled(32, finetune=(1.0, 0.5, 32))
    with pytest.raises(UserError, match="at least two algorithms"):
        Looks(evaluation, 0.1)
    both = filled(32, "certified", finetune=(1.0, 0.5, 32), forget_remember=(0.2, 0.9, 32))
    with pytest.raises(UserError, match="needs intervals, which mode certified does not have"):
        Looks(both, 0.1)
    with pytest.raises(UserError, match="--width 2: give a share"):
        Looks(evaluation, 2.0)
