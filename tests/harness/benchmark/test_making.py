"""Benchmarks: the split, the fingerprint, the two parts."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget512.harness.benchmark.benchmark import PROBE, ExaminationPart
from forget512.harness.benchmark.comparing import differences
from forget512.harness.benchmark.making import DEFAULTS, make_benchmark
from forget512.harness.errors import UserError


def refusal(make, *parts: str, **options) -> None:
    with pytest.raises(UserError) as caught:
        make(**options)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line


# --- the split ---


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


def test_a_class_is_forgotten_as_a_whole(make_tiny):
    benchmark = make_tiny(forget_class=1)
    assert np.array_equal(benchmark.split.forget, np.flatnonzero(benchmark.dataset.y_train == 1))
    assert set(benchmark.forget_targets) == {1}


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_is_not_there_is_refused(make_tiny, label):
    refusal(make_tiny, f"--forget-class {label}", "0 … 2", forget_class=label)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.001, float("nan"), float("inf")])
def test_a_fraction_that_forgets_nothing_or_everything_is_refused(make_tiny, fraction):
    refusal(make_tiny, "--forget-fraction", "at least one", forget_fraction=fraction)


@pytest.mark.parametrize("text", ["5 3 59", "5\n3\n59\n", "5,3,59", "5, 3,\n59"])
def test_indices_are_read_from_a_text(make_tiny, tmp_path, text):
    path = tmp_path / "forget.txt"
    path.write_text(text)
    assert make_tiny(forget_indices=path).split.forget.tolist() == [3, 5, 59]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_indices_are_read_from_an_npy_file(make_tiny, tmp_path, kind):
    np.save(tmp_path / "forget.npy", np.array([5, 3, 59], kind))
    split = make_tiny(forget_indices=tmp_path / "forget.npy").split
    assert split.forget.tolist() == [3, 5, 59] and split.forget.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("1 60", "60 is out of range"),
        ("1 -1", "-1 is out of range"),
        ("1 2 1", "1 occurs more than once"),
        ("1 two", "two"),
        ("1.5", "integers"),
        (" ".join(map(str, range(60))), "all 60"),
        (f"1 {10**30}", "too large"),
    ],
)
def test_indices_that_do_not_fit_are_refused(make_tiny, tmp_path, text, complaint):
    path = tmp_path / "forget.txt"
    path.write_text(text)
    refusal(make_tiny, "--forget-indices", str(path), complaint, forget_indices=path)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.array([1.0, 2.0]), "float64"),
        (np.array([[1, 2]]), "(1, 2)"),
        (np.zeros(60, bool), "bool"),
        (np.array([], np.int64), "is empty"),
        (np.array([2**64 - 1], np.uint64), "out of range"),
    ],
)
def test_an_npy_file_of_something_else_is_refused(make_tiny, tmp_path, values, complaint):
    np.save(tmp_path / "forget.npy", values)
    refusal(make_tiny, "--forget-indices", complaint, forget_indices=tmp_path / "forget.npy")


def test_index_files_that_cannot_be_read_are_refused(make_tiny, tmp_path):
    refusal(make_tiny, "does not exist", forget_indices=tmp_path / "nowhere.npy")
    (tmp_path / "text.npy").write_text("1 2 3")
    refusal(make_tiny, "text.npy", "cannot be read", forget_indices=tmp_path / "text.npy")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    refusal(make_tiny, "binary.txt", "cannot be read", forget_indices=tmp_path / "binary.txt")
    refusal(make_tiny, "cannot be read", forget_indices=tmp_path)


def test_an_archive_named_npy_is_refused(make_tiny, tmp_path):
    np.savez(tmp_path / "forget.npz", forget=np.arange(3))
    (tmp_path / "forget.npz").rename(tmp_path / "forget.npy")
    refusal(make_tiny, "forget.npy", forget_indices=tmp_path / "forget.npy")


def test_two_ways_to_choose_the_forget_set_are_refused(make_tiny):
    refusal(make_tiny, "--forget-fraction and --forget-class", forget_fraction=0.1, forget_class=1)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"precision": "float16"}, ("--precision", "float32, bfloat16")),
        ({"model": "resnet80"}, ("--model", "mean 'resnet8'")),
        ({"epochs": 0}, ("--epochs 0", "at least 1")),
    ],
)
def test_options_that_do_not_fit_are_refused(make_tiny, options, parts):
    refusal(make_tiny, *parts, **options)


def test_one_test_image_cannot_be_halved(make_tiny, npz, arrays):
    path = npz(x_test=arrays["x_test"][:1], y_test=arrays["y_test"][:1])
    refusal(make_tiny, "1 test example", dataset=path)


def test_fewer_epochs_shorten_the_warm_up_and_keep_the_rest_of_the_recipe():
    usual = DEFAULTS["digits"][1]
    assert make_benchmark("digits").recipe == usual
    assert make_benchmark("digits", epochs=2).recipe == dataclasses.replace(usual, epochs=2, warmup=0.5)


# --- the fingerprint ---


def test_two_constructions_have_one_fingerprint_whatever_the_data_file_is_called(make_tiny, npz, benchmark):
    assert make_tiny().fingerprint == benchmark.fingerprint
    assert make_tiny(npz("renamed.npz")).fingerprint == benchmark.fingerprint


def test_the_way_to_choose_the_same_forget_set_does_not_matter(make_tiny, tmp_path):
    # Indices draw nothing, a fraction does: the halves of the test set are drawn after it.
    one = make_tiny(forget_class=1)
    path = tmp_path / "forget.txt"
    path.write_text(" ".join(map(str, reversed(one.split.forget.tolist()))))
    assert make_tiny(forget_indices=path).fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"model": "resnet8"}, "model.name: resnet8-thin v resnet8"),
        ({"epochs": 3}, "recipe.epochs: 2 v 3"),
        ({"precision": "bfloat16"}, "precision: float32 v bfloat16"),
        ({"split_seed": 1}, "split.forget.sha256"),
        ({"forget_fraction": 0.2}, "split.forget.examples: 6 v 12"),
    ],
)
def test_each_ingredient_changes_the_fingerprint_and_is_named(make_tiny, benchmark, options, what):
    other = make_tiny(**options)
    assert other.fingerprint != benchmark.fingerprint
    assert what in "; ".join(differences(benchmark.identity, other.identity))


def test_one_pixel_changes_the_fingerprint(make_tiny, benchmark, npz, arrays):
    arrays["x_test"][7, 3, 3, 0] ^= 1
    other = make_tiny(npz(**arrays))
    assert other.fingerprint != benchmark.fingerprint
    assert [line.split(":")[0] for line in differences(benchmark.identity, other.identity)] == ["data.sha256"]


def test_one_index_changes_the_fingerprint(make_tiny, tmp_path):
    fingerprints = set()
    for text in ("1 2 3", "1 2 4"):
        (tmp_path / "forget.txt").write_text(text)
        fingerprints.add(make_tiny(forget_indices=tmp_path / "forget.txt").fingerprint)
    assert len(fingerprints) == 2


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(DEFAULTS["digits"][1])])
def test_every_field_of_the_recipe_changes_the_fingerprint(benchmark, field):
    stepped = {"schedule": "steps", "milestones": (1.0,)}  # in which all fields have a meaning
    others = {"optimizer": "adam", "schedule": "linear", "milestones": (0.5,), "mirror": 0.25}
    one = dataclasses.replace(benchmark.recipe, **stepped)
    other = dataclasses.replace(one, **{field: others[field] if field in others else getattr(one, field) + 1})
    found = [dataclasses.replace(benchmark, recipe=recipe) for recipe in (one, other)]
    assert found[0].fingerprint != found[1].fingerprint
    named = {line.split(":")[0] for line in differences(found[0].identity, found[1].identity)}
    idle = {"optimizer": {"recipe.momentum"}, "schedule": {"recipe.milestones", "recipe.factor"}}
    assert named == {f"recipe.{field}"} | idle.get(field, set())


def test_an_identity_from_a_store_is_the_one_that_was_put_there(benchmark):
    recipe = dataclasses.replace(benchmark.recipe, schedule="steps", milestones=(1.0, 1.5), mirror=0.5)
    ours = dataclasses.replace(benchmark, recipe=recipe).identity
    assert differences(json.loads(json.dumps(ours)), ours) == []


def test_equal_identities_differ_in_nothing_and_missing_parts_are_differences(benchmark):
    assert differences(benchmark.identity, benchmark.identity) == []
    assert differences({"a": {"b": 1}}, {"a": {}}) == ["a.b: 1 v None"]


# --- the two parts ---


def test_the_training_part_holds_no_test_data(make_tiny, npz, arrays):
    rng = np.random.default_rng(5)
    arrays["x_test"] = rng.integers(0, 256, arrays["x_test"].shape).astype(np.uint8)
    benchmark = make_tiny(npz(**arrays))
    sent = pickle.dumps(benchmark.training_part)
    split = benchmark.split
    assert all(arrays["x_test"][i].tobytes() in sent for i in split.validation)
    assert not any(arrays["x_test"][i].tobytes() in sent for i in split.test)


def test_the_parts_hold_the_examples_of_the_split(benchmark):
    data, split, part = benchmark.dataset, benchmark.split, benchmark.training_part
    for name in ("retain", "forget"):
        assert np.array_equal(getattr(part, name).x, data.x_train[getattr(split, name)])
        assert np.array_equal(getattr(part, name).y, data.y_train[getattr(split, name)])
    assert np.array_equal(part.validation.x, data.x_test[split.validation])
    assert np.array_equal(part.validation.y, data.y_test[split.validation])
    test = benchmark.examination_part.test
    assert np.array_equal(test.x, data.x_test[split.test]) and np.array_equal(test.y, data.y_test[split.test])


def probes(part: ExaminationPart) -> tuple[list[int], list[int]]:
    return part.probe_retain.tolist(), part.probe_test.tolist()


def test_a_small_benchmark_is_probed_as_a_whole(benchmark):
    assert probes(benchmark.examination_part) == (list(range(54)), list(range(12)))


def test_at_most_1000_retain_examples_are_probed_and_the_fingerprint_chooses_them():
    one, same, other = (make_benchmark("digits", split_seed=seed) for seed in (0, 0, 1))
    retain, test = probes(one.examination_part)
    assert len(set(retain)) == PROBE == 1000 and max(retain) < len(one.split.retain) == 1293
    assert test == list(range(180))
    assert probes(same.examination_part) == (retain, test)
    assert probes(other.examination_part)[0] != retain


def test_a_description_can_be_scored_without_the_data(benchmark):
    found = benchmark.description
    assert found["fingerprint"] == benchmark.fingerprint
    assert found["forget_targets"] == benchmark.dataset.y_train[benchmark.split.forget].tolist()


def test_paths_may_be_given_as_text(tmp_path):
    (tmp_path / "recipe.toml").write_text("epochs = 3\n")
    np.save(tmp_path / "indices.npy", np.arange(20))
    given = {"recipe": tmp_path / "recipe.toml", "forget_indices": tmp_path / "indices.npy", "data_dir": tmp_path}
    as_text = {name: str(path) for name, path in given.items()}
    assert make_benchmark(**as_text).fingerprint == make_benchmark(**given).fingerprint
