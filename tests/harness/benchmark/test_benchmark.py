"""A benchmark's fingerprint, its training part and its examination part."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest

from forget512.harness.benchmark.benchmark import PROBE, ExaminationPart
from forget512.harness.benchmark.comparing import differences
from forget512.harness.benchmark.making import DEFAULTS, make_benchmark

# --- the fingerprint ---


def test_two_constructions_have_one_fingerprint_whatever_the_data_file_is_called(make_tiny, npz, benchmark):
    assert make_tiny().fingerprint == benchmark.fingerprint
    assert make_tiny(npz("renamed.npz")).fingerprint == benchmark.fingerprint


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
