"""No two commands disagree about a pair of the same board."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from forget512.harness.results.board import leaderboard
from forget512.harness.results.contents import find_contents
from forget512.harness.results.store_boards import boards
from forget512.harness.store.backends.folder import Folder
from forget512.harness.views.array_reports import compare_report
from forget512.harness.views.html.page import write_page
from forget512.harness.views.text import comparison_text
from forget512.harness.workflows.reproduction import Reproduction, Table, TableRow, results
from forget512.harness.workflows.scoring_arrays import compare_arrays
from support.synthetic import describe, fill

pytestmark = pytest.mark.usefixtures("coarse_projection")
RUNS = 24


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with two candidates that are tied and one that is worse, and its banks' folders by name."""
    root = tmp_path_factory.mktemp("agreement") / "store"
    return root, fill(root, describe(12), {"near": (0.1, 0.9), "too": (0.12, 0.9), "far": (1.2, 0.4)}, RUNS)


@pytest.fixture(scope="module")
def board(stored):
    (found,), _ = boards(Folder(stored[0]))
    return found.board


def test_the_boards_pairs_are_tied_and_decided(board):
    assert sorted(pairing.decided for pairing in board.pairings) == [False, True, True]
    assert [row.rank for row in board.rows] == [1, 1, 3]


def test_the_report_has_the_leaderboards_ranks_and_its_pairs_in_words(stored, board, tmp_path):
    write_page(find_contents(Folder(stored[0])), tmp_path / "out")

    def values(name: str):
        text = (tmp_path / "out" / "data" / f"{name}.js").read_text()
        return json.loads(text.removeprefix(f'forget512.take("{name}",').removesuffix(");\n"))

    rows = values("board")["candidates"]
    assert [(row["name"], row["rank"]) for row in rows] == [(row.algorithm, row.rank) for row in board.rows]
    texts = [comparison_text(pairing.better, pairing.worse, pairing.comparison) for pairing in board.pairings]
    assert list(values("pairs").values()) == texts


def test_compare_has_the_leaderboards_pairs(stored, board):
    folders = stored[1]
    found = compare_arrays(folders["retrain"], [folders[row.algorithm] for row in board.rows])
    assert found.pairings == board.pairings
    answer = json.loads(compare_report(found, as_json=True))
    assert [pair["level"] for pair in answer["comparisons"]] == [board.level] * 3 == [pytest.approx(1 - 0.05 / 3)] * 3


def test_a_reproduction_that_states_every_pair_has_the_leaderboards_pairs(filled):
    evaluation = filled(24, finetune=(1.0, 0.5, 24), forget_remember=(0.2, 0.9, 24), scrub=(0.25, 0.9, 24))
    board = leaderboard(evaluation)
    names = [row.algorithm for row in board.rows]
    table = Table("all", tuple(TableRow(name, name) for name in names), tuple(combinations(names, 2)))
    _, (result,) = results(Reproduction("pairs", evaluation.algorithms, [table], 1, True), evaluation)
    assert [s.comparison for s in result.statements] == [pairing.comparison for pairing in board.pairings]
