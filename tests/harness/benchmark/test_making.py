"""A benchmark from its options: the split, the usual recipe, and options that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.benchmark.making import DEFAULTS, make_benchmark


@given(fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
def test_the_split_is_a_partition_for_every_fraction_and_seed(make_tiny, fraction, seed):
    split = make_tiny(forget_fraction=fraction, split_seed=seed).split
    assert np.array_equal(np.sort(np.concatenate([split.retain, split.forget])), np.arange(60))
    assert len(split.forget) == round(fraction * 60)
    assert np.array_equal(np.sort(np.concatenate([split.validation, split.test])), np.arange(24))
    assert len(split.validation) == len(split.test) == 12


def test_a_tenth_is_forgotten_unless_said(benchmark):
    assert len(benchmark.split.forget) == 6 and len(benchmark.split.retain) == 54


def test_another_seed_draws_another_split_and_the_same_seed_the_same(make_tiny):
    one, same, other = (make_tiny(split_seed=seed).split for seed in (1, 1, 2))
    for part in vars(one):
        assert np.array_equal(getattr(one, part), getattr(same, part))
        assert not np.array_equal(getattr(one, part), getattr(other, part))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"precision": "float16"}, ("--precision", "float32, bfloat16")),
        ({"model": "resnet80"}, ("--model", "mean 'resnet8'")),
        ({"epochs": 0}, ("--epochs 0", "at least 1")),
    ],
)
def test_options_that_do_not_fit_are_refused(refusal, options, parts):
    refusal(*parts, **options)


def test_one_test_image_cannot_be_halved(refusal, npz, arrays):
    path = npz(x_test=arrays["x_test"][:1], y_test=arrays["y_test"][:1])
    refusal("1 test example", dataset=path)


def test_fewer_epochs_shorten_the_warm_up_and_keep_the_rest_of_the_recipe():
    usual = DEFAULTS["digits"][1]
    assert make_benchmark("digits").recipe == usual
    assert make_benchmark("digits", epochs=2).recipe == dataclasses.replace(usual, epochs=2, warmup=0.5)


@pytest.mark.parametrize(("model", "epochs"), [("resnet9", 20), ("resnet18", 30), (None, 30)])
def test_a_network_may_have_its_own_recipe_on_a_data_set(tmp_path, model, epochs):
    images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
    images[:, 0, 0, 0] = np.arange(20)
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert make_benchmark("cifar10", data_dir=tmp_path, model=model).recipe.epochs == epochs
    assert make_benchmark(str(tmp_path / "cifar10.npz"), model="resnet9").recipe.epochs == 30
    (tmp_path / "recipe.toml").write_text("weight_decay = 1e-3\n")
    changed = make_benchmark("cifar10", data_dir=tmp_path, model=model, recipe=tmp_path / "recipe.toml").recipe
    assert (changed.epochs, changed.weight_decay) == (epochs, 1e-3)


def test_paths_may_be_given_as_text(tmp_path):
    (tmp_path / "recipe.toml").write_text("epochs = 3\n")
    np.save(tmp_path / "indices.npy", np.arange(20))
    given = {"recipe": tmp_path / "recipe.toml", "forget_indices": tmp_path / "indices.npy", "data_dir": tmp_path}
    as_text = {name: str(path) for name, path in given.items()}
    assert make_benchmark(**as_text).fingerprint == make_benchmark(**given).fingerprint
