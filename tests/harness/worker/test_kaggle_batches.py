"""Kaggle's dict batches: the same images in the same order as the starting kit's tuples."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from forget512.algorithms import finetune
from forget512.algorithms.training import batches
from forget512.harness.worker.kaggle_batches import kaggle_images
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import make_loader


@pytest.fixture
def loaders(unlearner):
    """{set: (loader of tuples, loader of dicts)}."""
    dicts, seeds = kaggle_images(unlearner.images), Seeds("bank", 0)
    return {
        name: tuple(make_loader(kind[name], 16, name, seeds) for kind in (unlearner.images, dicts))
        for name in unlearner.images
    }


@pytest.mark.parametrize("name", ["retain", "forget", "validation"])
def test_a_batch_is_a_dict_of_the_same_images_in_the_same_order(loaders, name):
    tuples, dicts = loaders[name]
    for (inputs, targets), sample in zip(tuples, dicts, strict=True):
        assert sample.keys() == {"image", "image_id", "age_group", "age", "age_class", "person_id"}
        assert sample["image"].equal(inputs) and sample["image"].dtype == torch.float32
        for label in ("age_group", "age", "age_class"):
            assert sample[label].equal(targets)
        assert len(set(sample["image_id"])) == len(targets)


def test_an_image_has_one_id_and_no_two_sets_share_a_person(loaders):
    people = {name: {p.item() for s in pair[1] for p in s["person_id"]} for name, pair in loaders.items()}
    assert {name: len(ids) for name, ids in people.items()} == {"retain": 54, "forget": 6, "validation": 12}
    assert len(set.union(*people.values())) == 72
    data = loaders["retain"][1].dataset
    assert data[3]["image_id"] == "retain-3" and data[-1]["image_id"] == "retain-53"


def test_a_loader_that_the_user_builds_over_the_data_set_gives_dicts_too(loaders):
    dicts = loaders["retain"][1]
    rebuilt = DataLoader(dicts.dataset, batch_size=7, shuffle=True, drop_last=True)
    assert [len(sample["image"]) for sample in rebuilt] == [7] * 7


def test_the_training_loop_of_ours_still_reads_tuples(loaders):
    tuples, dicts = loaders["retain"]
    for (a, b), (c, d) in zip(batches(tuples), batches(dicts), strict=True):
        assert a.equal(c) and b.equal(d)


def test_built_in_methods_give_the_same_bits_on_either(unlearner, original):
    seeds = Seeds("bank", 1)
    one, other = (unlearner.unlearn(finetune, {}, seeds, original, kind)[0] for kind in ("tuples", "kaggle"))
    assert all(one[name].equal(other[name]) for name in one)
