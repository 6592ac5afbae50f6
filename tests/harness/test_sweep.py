"""Sweeping: the development split, grids, and what is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import METHODS
from harness.candidates import built_in, find_algorithms
from harness.errors import UserError
from harness.sweep import development, settings_of


@pytest.mark.parametrize("options", [{}, {"forget_fraction": 0.3}, {"split_seed": 4}])
def test_development_shares_neither_forget_nor_test_images_with_what_is_scored(make_tiny, options):
    scored = make_tiny(**options)
    found = development(scored)
    ours, theirs = found.split, scored.split
    assert len(ours.forget) == len(theirs.forget) and not np.intersect1d(ours.forget, theirs.forget).size
    train = np.concatenate([ours.retain, ours.forget])
    assert np.array_equal(np.sort(train), np.arange(len(scored.dataset.y_train)))
    held = np.concatenate([ours.validation, ours.test])
    assert np.array_equal(np.sort(held), theirs.validation) and len(ours.test)
    assert found.fingerprint != scored.fingerprint
    assert (found.recipe, found.model, found.precision) == (scored.recipe, scored.model, scored.precision)


def test_it_is_drawn_by_the_benchmark_and_always_the_same(make_tiny):
    assert development(make_tiny()).fingerprint == development(make_tiny()).fingerprint
    assert development(make_tiny()).fingerprint != development(make_tiny(split_seed=1)).fingerprint


def test_where_a_class_is_forgotten_development_forgets_another(make_tiny):
    scored = make_tiny(forget_class=1)
    labels = scored.dataset.y_train[development(scored).split.forget]
    assert len(set(labels)) == 1 and labels[0] != 1
    assert len(labels) == np.sum(scored.dataset.y_train == labels[0])


def test_too_few_images_for_a_development_split_are_one_sentence(make_tiny):
    with pytest.raises(UserError, match="too few images for a development split"):
        development(make_tiny(forget_fraction=0.9))


def test_a_grid_is_every_combination_of_the_values_that_an_algorithm_has():
    algorithms = [built_in(name, "digits") for name in ("finetune", "scrub")]
    found = settings_of(algorithms, ["lr=0.1,0.2", "alpha=0.5,0.25"], "digits")
    names = [algorithm.name for algorithm, _ in found]
    assert names == [
        "finetune lr=0.1",
        "finetune lr=0.2",
        *(f"scrub lr={lr} alpha={alpha}" for lr in (0.1, 0.2) for alpha in (0.5, 0.25)),
    ]
    assert found[-1][0].hyper_parameters["alpha"] == 0.25 and found[-1][1] == {"lr": 0.2, "alpha": 0.25}


def test_lists_and_words_are_values():
    algorithm = built_in("forget_remember", "digits")
    found = settings_of([algorithm], ["draws=(1,2,1),(2,2,2)", "loss=mse,ce"], "digits")
    assert [(a.hyper_parameters["draws"], a.hyper_parameters["loss"]) for a, _ in found] == [
        ([1, 2, 1], "mse"), ([1, 2, 1], "ce"), ([2, 2, 2], "mse"), ([2, 2, 2], "ce"),
    ]  # fmt: skip


def test_the_same_setting_is_tried_once():
    assert len(settings_of([built_in("finetune", "digits")], ["lr=0.1,0.1"], "digits")) == 1


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ("lr", "write NAME=V1,V2"),
        ("lr=", "write NAME=V1,V2"),
        ("rate=0.1", "hyper-parameter 'rate' is not known"),
        ("lr=fast,slow", "'fast' is a str"),
        ("lr=0.1,fast", "'fast' is a str"),
    ],
)
def test_a_grid_that_does_not_fit_is_one_sentence(grid, sentence):
    with pytest.raises(UserError, match=sentence):
        settings_of([built_in("finetune", "digits")], [grid], "digits")


def test_our_own_grids_are_of_values_that_the_methods_have():
    for method in METHODS:
        if method.name not in ("retrain", "original"):
            found = settings_of([built_in(method.name, "digits")], [], "digits")
            assert len(found) >= 3, method.name


def test_an_algorithm_without_a_grid_needs_one(tmp_path):
    path = tmp_path / "idea.py"
    path.write_text("def unlearning(net, retain, forget, validation, lr=0.1): pass")
    algorithms = find_algorithms([str(path)], [], "digits")
    with pytest.raises(UserError, match=r"idea@\w+ has no grid of its own: give --grid"):
        settings_of(algorithms, [], "digits")
    assert len(settings_of(algorithms, ["lr=1,2.5"], "digits")) == 2
