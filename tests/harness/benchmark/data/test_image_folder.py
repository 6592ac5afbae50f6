"""Folders of images, as a user lays them out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from forget512.harness.benchmark.data.loading import load_dataset
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.errors import UserError


def paint(path, colour, size=(12, 12), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """pets/train and pets/test: 6 and 2 images of each of cat and dog; image i of a class has i in its red."""
    for part, count in (("train", 6), ("test", 2)):
        for blue, name in ((10, "cat"), (200, "dog")):
            for i in range(count):
                paint(tmp_path / "pets" / part / name / f"{i}.png", (i, 0, blue))
    return tmp_path / "pets"


def refusal(folder, *parts, size=None):
    with pytest.raises(UserError) as caught:
        load_dataset(str(folder), folder, size)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_are_folders_in_order_and_images_stand_in_the_order_of_their_paths(folder):
    data = load_dataset(str(folder), folder)
    assert data.name == "pets" and data.x_train.shape == (12, 32, 32, 3) and data.x_test.shape == (4, 32, 32, 3)
    assert data.y_train.tolist() == [0] * 6 + [1] * 6 and data.y_test.tolist() == [0, 0, 1, 1]
    assert data.x_train[:, 5, 5].tolist() == [[i, 0, blue] for blue in (10, 200) for i in range(6)]


def test_val_stands_in_for_test(folder):
    with_test = load_dataset(str(folder), folder)
    (folder / "test").rename(folder / "val")
    assert load_dataset(str(folder), folder).sha256 == with_test.sha256


def test_images_are_cut_to_a_square_about_the_middle_and_resized(folder):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # the square about the middle
    Image.fromarray(wide).save(folder / "train" / "cat" / "0.png")
    data = load_dataset(str(folder), folder, 16)
    assert data.x_train.shape == (12, 16, 16, 3)
    assert (data.x_train[0, :, 1:-1] == 255).all() and (data.x_train[0] > 200).all()  # its edge is blended


@pytest.mark.parametrize(("mode", "colour"), [("L", 7), ("RGBA", (7, 7, 7, 255)), ("1", 1), ("P", 7)])
def test_images_of_any_mode_become_rgb(folder, mode, colour):
    paint(folder / "train" / "cat" / "0.png", colour, mode=mode)
    with Image.open(folder / "train" / "cat" / "0.png") as image:
        expected = image.convert("RGB").getpixel((0, 0))
    assert tuple(load_dataset(str(folder), folder).x_train[0, 3, 3]) == expected


def test_of_one_level_a_fifth_of_each_class_is_the_test_set_and_always_the_same(tmp_path):
    for blue, name, count in ((10, "cat", 20), (200, "dog", 7), (90, "emu", 2)):
        for i in range(count):
            paint(tmp_path / "flat" / name / f"{i:02}.png", (i, 0, blue))
    data, again = (load_dataset(str(tmp_path / "flat"), tmp_path) for _ in range(2))
    assert np.bincount(data.y_test).tolist() == [4, 1, 1] and np.bincount(data.y_train).tolist() == [16, 6, 1]
    assert data.sha256 == again.sha256
    seen = {(int(x[0, 0, 0]), int(y)) for x, y in zip(data.x_train, data.y_train, strict=True)}
    held = {(int(x[0, 0, 0]), int(y)) for x, y in zip(data.x_test, data.y_test, strict=True)}
    assert not seen & held and len(seen | held) == 29


def test_large_images_get_the_usual_network_for_them(folder):
    assert str(make_benchmark(str(folder)).model) == "resnet8"
    assert str(make_benchmark(str(folder), image_size=64).model) == "resnet18"


def test_layouts_that_do_not_fit_are_one_line(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", "is not a folder of images by class")
    refusal(folder, "--image-size 2", size=2)
    paint(folder / "train" / "emu" / "0.png", 0)
    refusal(folder, "class 'emu' is not in both of train/ and test/")
    (folder / "test").rename(folder / "holdout")
    refusal(folder, "neither test/ nor val/")
    paint(tmp_path / "one" / "cat" / "0.png", 0)
    paint(tmp_path / "one" / "cat" / "1.png", 0)
    refusal(tmp_path / "one", "one class, 'cat'")
    paint(tmp_path / "one" / "dog" / "0.png", 0)
    refusal(tmp_path / "one", "class 'dog' has one image")


def test_an_image_that_cannot_be_read_is_named(folder):
    whole = (folder / "train" / "dog" / "3.png").read_bytes()
    for damaged in (b"no image", whole[: len(whole) // 2], b""):
        (folder / "train" / "dog" / "3.png").write_bytes(damaged)
        refusal(folder, "dog/3.png cannot be read as an image")
