"""`from forget512 import evaluate`, as in a notebook, on a store that is filled already."""

from __future__ import annotations

import subprocess
import sys

import pytest

from forget512 import evaluate
from forget512.harness.errors import UserError
from support.commands import run_cli

pytestmark = pytest.mark.usefixtures("coarse_projection")


@pytest.fixture(scope="module")
def result(filled_store):
    options = {str(name).lstrip("-").replace("-", "_"): value for name, value in
               zip(filled_store.options[::2], filled_store.options[1::2], strict=True)}  # fmt: skip
    options["dataset"] = str(options["dataset"])
    return evaluate(filled_store.idea, "finetune", "forget_remember", store=filled_store.store,
                            progress=False, **options)  # fmt: skip


def test_the_result_is_the_first_algorithms_and_has_the_others_by_name(result):
    assert result.name.startswith("idea@") and result["finetune"].name == "finetune"
    assert result.interval[0] < result.score < result.interval[1]
    assert result["idea"].score == result["idea.py"].score == result.score > result["finetune"].score
    assert [each.name for each in result] == result.names
    assert not result.complete and result.refused == []  # forget_remember has 15 of 16
    assert f"score {result.score:.4f}" in repr(result)


def test_what_has_no_score_says_why(result):
    with pytest.raises(UserError, match=r"15 of 16 runs are finished: 1 failed, the last with 'ValueError: no such"):
        _ = result["forget_remember"].score
    with pytest.raises(UserError, match="Did you mean 'finetune'"):
        _ = result["finetun"]


def test_examples_come_as_a_data_frame_with_index_and_label(result, filled_store):
    pandas = pytest.importorskip("pandas")
    frame = result.per_example
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 30
    assert frame["index"].tolist() == filled_store.benchmark.split.forget.tolist()
    assert frame["epsilon"].tolist() == pytest.approx(result.row.score.epsilon.tolist(), nan_ok=True)


def test_without_pandas_the_error_says_what_to_do(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        _ = result.per_example
    assert len(result.examples.epsilon) == 30


def test_a_notebook_shows_the_board(result):
    html = result._repr_html_()
    assert html.startswith("<pre") and "forget_remember" in html and f"{result.score:.4f}" in html


def test_settings_may_be_given_by_name(filled_store):
    with pytest.raises(UserError, match="Did you mean 'lr'"):
        evaluate("finetune", settings={"finetune.l": 0.5}, store=filled_store.store)


def test_importing_harness_imports_neither_torch_nor_ray():
    code = "import sys, forget512, forget512.harness.errors; print({'torch', 'ray', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
    assert "leaderboard" in run_cli("--help").stdout


def test_two_algorithms_are_compared_as_on_the_board(result):
    found = result.compare("finetune")
    (pairing,) = [each for each in result.board.pairings if {each.better, each.worse} == {result.name, "finetune"}]
    assert found == pairing.comparison and found.difference > 0
    assert result["finetune"].compare(result.name).difference == -found.difference


def test_arrays_and_the_board_come_with_the_result(result, filled_store):
    assert result.retrained.shape == result.unlearned.shape == (16, 30)
    assert result.details.score == result.score
    pytest.importorskip("pandas")
    board = result.leaderboard.set_index("algorithm")
    assert board.score[result.name] == result.score and board.F["finetune"] == result["finetune"].forgetting_quality
