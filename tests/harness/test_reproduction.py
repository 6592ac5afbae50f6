"""Reproductions: their data, how it is fitted to a benchmark, and what becomes of order statements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import make_benchmark
from harness.errors import UserError
from harness.reproduction import load_reproduction, scaled_draws


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
