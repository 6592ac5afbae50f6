"""Reproductions: their data, how it is fitted to a benchmark, and what becomes of order statements."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.results.board import leaderboard
from forget512.harness.views.reproduction import reproduction_json, show_reproduction
from forget512.harness.workflows.evaluation import Evaluation
from forget512.harness.workflows.reproduction import (
    Reproduction,
    Table,
    TableRow,
    load_reproduction,
    results,
    scaled_draws,
)


@pytest.fixture(scope="module")
def writeup():
    return load_reproduction("writeup-8th-place", make_benchmark("digits"))


def test_every_row_has_its_run_and_every_order_its_rows(writeup):
    names = [algorithm.name for algorithm in writeup.algorithms]
    assert len(set(names)) == len(names) and len({a.bank for a in writeup.algorithms}) == len(names)
    used = set()
    for table in writeup.tables:
        labels = [row.label for row in table.rows]
        assert len(set(labels)) == len(labels)
        assert {label for order in table.orders for label in order} <= set(labels)
        used |= {row.run for row in table.rows}
    assert used == set(names)


def test_orders_are_those_of_the_writeups_own_figures(writeup):
    for table in writeup.tables:
        figures = {row.label: row.writeup for row in table.rows}
        for better, worse in table.orders:
            assert figures[better] > figures[worse], (better, worse)


def test_the_functions_take_what_the_rows_give_them(writeup):
    for algorithm in writeup.algorithms:
        defaults = algorithm.function.__kwdefaults__
        assert set(algorithm.hyper_parameters) <= set(defaults), algorithm.name
        cycles = {len(algorithm.hyper_parameters[n]) for n in ("epochs", "draws") if n in algorithm.hyper_parameters
                  and isinstance(algorithm.hyper_parameters[n], list)}  # fmt: skip
        assert len(cycles) < 2 or algorithm.hyper_parameters["selection"] == "none", algorithm.name


def test_learning_rates_are_the_writeups_times_the_factor_of_the_data_set(writeup):
    (first,) = (a for a in writeup.algorithms if a.name == "1st algorithm")
    assert writeup.lr_factor == 50 and first.hyper_parameters["lr"] == pytest.approx([0.05])


def test_on_the_writeups_own_network_the_draws_are_its_own(tmp_path, npz):
    benchmark = make_benchmark(str(npz()), model="resnet18")
    draws = {a.name: a.hyper_parameters["draws"] for a in load_reproduction("writeup-8th-place", benchmark).algorithms
             if "draws" in a.hyper_parameters}  # fmt: skip
    assert draws["1st algorithm"] == draws["3 cycles"] == [2, 2, 2] and draws["2nd algorithm"] == [2, 2, 1, 1]


def test_an_unknown_reproduction_is_one_sentence():
    with pytest.raises(UserError, match="reproduction '8th-place' is not known"):
        load_reproduction("8th-place", make_benchmark("digits"))


@given(draws=st.lists(st.integers(1, 6), min_size=1, max_size=4), of=st.integers(6, 30), layers=st.integers(1, 40))
def test_scaled_draws_keep_the_share_of_the_pool(draws, of, layers):
    found = scaled_draws(draws, of, layers)
    assert len(found) == len(draws) and min(found) >= 0 and found[0] >= 1
    for cycle in range(1, len(draws) + 1):
        wanted = sum(draws[:cycle]) / of * layers
        assert abs(sum(found[:cycle]) - wanted) <= max(0.5, 1 - wanted)
    if of == layers:
        assert found == draws


def small(evaluation, *orders: tuple[str, str]) -> Reproduction:
    """One table, whose rows are the runs of an evaluation."""
    rows = tuple(TableRow(name, name, 0.05) for name in ("finetune", "forget_remember", "absent"))
    return Reproduction("a small one", evaluation.algorithms, [Table("all", rows, orders)], 50, True)


def test_order_statements_hold_fail_or_stay_open(filled, shown):
    evaluation = filled(40, finetune=(1.0, 0.5, 40), forget_remember=(0.2, 0.9, 40))
    reproduction = small(
        evaluation, ("forget_remember", "finetune"), ("finetune", "forget_remember"), ("finetune", "absent")
    )
    reference, tables = results(reproduction, evaluation)
    assert [s.verdict for s in tables[0].statements] == ["holds", "fails", "open"]
    text = shown(show_reproduction(reproduction, evaluation, reference, tables))
    assert (
        "forget_remember > finetune: holds, by 0." in text
        and "Of 3 order statements: 1 hold, 1 fail, 1 are open" in text
    )
    found = reproduction_json(reproduction, evaluation, reference, tables)["tables"][0]
    assert found["rows"][1]["share_of_ceiling"] > 0.3 and found["rows"][2]["score"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) and found["orders"][0]["verdict"] == "holds"


def test_more_statements_are_each_tested_at_a_higher_level(filled, shown):
    evaluation = filled(40, finetune=(1.0, 0.5, 40), forget_remember=(0.2, 0.9, 40))
    order = ("forget_remember", "finetune")
    widths = []
    for statements in (1, 20):
        reproduction = small(evaluation, *[order] * statements)
        reference, tables = results(reproduction, evaluation)
        comparison = tables[0].statements[0].comparison
        assert comparison.level == pytest.approx(1 - 0.05 / statements)
        widths.append(comparison.interval[1] - comparison.interval[0])
    assert widths[1] > widths[0]
    assert "tested at 99.75%" in shown(show_reproduction(reproduction, evaluation, reference, tables))


def test_the_ceiling_is_the_leaderboards_of_all_retrainings_that_there_are(filled):
    evaluation = filled(20, reference=40, finetune=(1.0, 0.5, 20))
    reference, _ = results(small(evaluation), evaluation)
    assert reference.ceiling == leaderboard(evaluation).ceiling


def test_a_rows_warnings_stand_below_the_tables(filled, shown):
    evaluation = filled(10, finetune=(1.0, 0.5, 10))
    found = results(small(evaluation), evaluation)
    text = shown(show_reproduction(small(evaluation), evaluation, *found))
    assert "finetune *" in text and "* Warning (few-runs): finetune: " in text


def test_what_is_compared_with_itself_is_tied(filled):
    evaluation = filled(40, finetune=(1.0, 0.5, 40))
    rows = (TableRow("one", "finetune"), TableRow("other", "finetune"))
    reproduction = Reproduction("twice", evaluation.algorithms, [Table("t", rows, (("one", "other"),))], 1, False)
    (table,) = results(reproduction, evaluation)[1]
    assert [s.verdict for s in table.statements] == ["tied"]


def test_without_an_original_model_every_row_is_open(make_tiny, store, make_record):
    tiny = make_tiny()
    evaluation = Evaluation(tiny, [built_in("finetune", tiny.dataset.name)], 8, store)
    for seed in range(8):
        evaluation.reference.add(make_record(evaluation.reference, seed).encode())
    evaluation = Evaluation(tiny, [built_in("finetune", tiny.dataset.name)], 8, store)
    (table,) = results(small(evaluation, ("finetune", "absent")), evaluation)[1]
    assert [s.verdict for s in table.statements] == ["open"]


def test_a_short_reference_is_one_sentence(make_tiny, store):
    tiny = make_tiny()
    evaluation = Evaluation(tiny, [], 8, store)
    with pytest.raises(UserError, match="reference bank has 0 of 8 runs"):
        results(small(evaluation), evaluation)


def test_rows_that_come_to_the_same_on_a_small_network_are_run_once(tmp_path, npz):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef make(classes, shape):\n"
        "    convs = [nn.Conv2d(shape[0] if i == 0 else 4, 4, 3, padding=1) for i in range(4)]\n"
        "    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))\n"
    )
    benchmark = make_benchmark(str(npz()), model=f"{tmp_path / 'net.py'}:make")
    found = load_reproduction("writeup-8th-place", benchmark)
    assert len({a.bank for a in found.algorithms}) == len(found.algorithms) and not found.lr_known
    names = {algorithm.name for algorithm in found.algorithms}
    assert {row.run for table in found.tables for row in table.rows} == names
    runs = {row.label: row.run for table in found.tables for row in table.rows}
    assert runs["1 (2 epochs), 10 %"] == runs["1 (2 epochs), 20 %"]
