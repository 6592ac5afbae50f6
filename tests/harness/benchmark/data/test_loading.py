"""Data sets by name: digits, CIFAR-10 from one .npz file, and those of torchvision."""

from __future__ import annotations

import hashlib
import pickle
import struct

import numpy as np
import pytest
import scipy.io
import torchvision

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.benchmark.data.loading import cifar10, digits, load_dataset
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.errors import UserError


def equal(one: Dataset, other: Dataset) -> bool:
    return all(
        np.array_equal(getattr(one, key), getattr(other, key)) for key in ("x_train", "y_train", "x_test", "y_test")
    )


# --- digits ---


def test_digits_are_1797_images_of_8_by_8_a_fifth_of_them_for_testing():
    data = digits()
    assert data.x_train.shape == (1437, 8, 8, 1) and data.x_test.shape == (360, 8, 8, 1)
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert data.x_train.max() == 16 and data.classes == 10 and data.image_shape == (8, 8, 1)


def test_digits_are_all_of_scikit_learns_each_with_its_label():
    from sklearn.datasets import load_digits

    def sorted_rows(images, labels):
        rows = np.column_stack([labels, images.reshape(len(images), -1)]).astype(int)
        return rows[np.lexsort(rows.T)]

    source, data = load_digits(), digits()
    found = sorted_rows(np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test]))
    assert np.array_equal(found, sorted_rows(source.images, source.target))


def test_digits_are_the_same_each_time_and_on_every_machine():
    assert equal(digits(), digits())
    assert digits().y_test[:12].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]


# --- by name ---


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"'digit' is not known: .*cifar10-mini, .*FILE\.npz.*mean 'digits'"):
        load_dataset("digit", tmp_path)


@pytest.fixture
def cifar_arrays() -> dict[str, np.ndarray]:
    """Like CIFAR-10: 32 × 32 × 3 in 10 classes, their labels in no order; image i has i in its first pixel."""
    rng = np.random.default_rng(3)
    arrays = {}
    for part, count in (("train", 80), ("test", 40)):
        images = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
        images[:, 0, 0, 0] = np.arange(count)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = images, rng.permutation(np.arange(count) % 10)
    return arrays


def test_cifar10_comes_from_the_one_npz_in_the_data_folder(tmp_path, cifar_arrays):
    np.savez(tmp_path / "anything.npz", **cifar_arrays)
    data = load_dataset("cifar10", tmp_path)
    assert equal(data, Dataset("cifar10", **cifar_arrays)) and data.name == "cifar10"


def test_two_npz_files_in_the_data_folder_are_refused(tmp_path, cifar_arrays):
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, **cifar_arrays)
    with pytest.raises(UserError, match=r"2 \.npz files \(a\.npz, b\.npz\)"):
        cifar10(tmp_path)


def test_an_npz_of_other_images_is_not_cifar10(tmp_path, npz):
    npz()
    with pytest.raises(UserError, match=r"\(8, 8, 1\) in 3 classes, expected \(32, 32, 3\) in 10"):
        cifar10(tmp_path)


def test_an_npz_of_fewer_classes_is_not_cifar10(tmp_path, cifar_arrays):
    np.savez(tmp_path / "five.npz", **{k: v % 5 if k[0] == "y" else v for k, v in cifar_arrays.items()})
    with pytest.raises(UserError, match="5 classes"):
        cifar10(tmp_path)


def test_cifar10_mini_takes_the_first_images_of_each_class_in_file_order(tmp_path):
    count = 502 * 10
    rng = np.random.default_rng(4)
    labels = {"train": rng.permutation(np.arange(count) % 10), "test": rng.permutation(np.arange(2020) % 10)}
    arrays = {}
    for part, y in labels.items():
        x = np.zeros((len(y), 32, 32, 3), np.uint8)
        x[:, 0, 0, 0], x[:, 0, 0, 1] = np.divmod(np.arange(len(y)), 256)
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(tmp_path / "cifar.npz", **arrays)
    data = load_dataset("cifar10-mini", tmp_path)
    assert data.name == "cifar10-mini"
    for part, most in (("train", 500), ("test", 200)):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        place = x[:, 0, 0, 0].astype(int) * 256 + x[:, 0, 0, 1]
        for c in range(10):
            assert place[y == c].tolist() == np.flatnonzero(labels[part] == c)[:most].tolist()


# --- those of torchvision, read from small files in their own formats ---

TRAIN, TEST = 40, 20


def md5(path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def images():
    """{part: (images (n, 32, 32, 3), labels (n,))}: labels in no order."""
    rng = np.random.default_rng(0)
    return {
        part: (rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8), rng.permutation(np.arange(count) % 10))
        for part, count in (("train", TRAIN), ("test", TEST))
    }


@pytest.fixture
def cifar100(tmp_path, monkeypatch, images):
    """CIFAR-100's python pickles, of few images: torchvision is told their checksums."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for part, (x, y) in images.items():
        flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        names = [f"{i}.png" for i in range(len(x))]
        entry = {"data": flat, "fine_labels": y.tolist(), "coarse_labels": (y // 5).tolist(), "filenames": names}
        (folder / part).write_bytes(pickle.dumps(entry, protocol=2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {i}" for i in range(10)]}, protocol=2))
    kind = torchvision.datasets.CIFAR100
    monkeypatch.setattr(kind, "train_list", [["train", md5(folder / "train")]])
    monkeypatch.setattr(kind, "test_list", [["test", md5(folder / "test")]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(folder / "meta")})
    return tmp_path


@pytest.fixture
def svhn(tmp_path, monkeypatch, images):
    """SVHN's Matlab files: images last, and class 10 for the digit 0."""
    parts = {}
    for part, (x, y) in images.items():
        path = tmp_path / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": x.transpose(1, 2, 3, 0), "y": np.where(y == 0, 10, y)[:, None].astype(np.uint8)})
        parts[part] = ["nowhere", path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", parts)
    return tmp_path


def write_idx(folder, images):
    folder.mkdir(parents=True)
    for part, name in (("train", "train"), ("test", "t10k")):
        x, y = images[part][0][:, :28, :28, 0], images[part][1].astype(np.uint8)
        header = struct.pack(">4B3I", 0, 0, 8, 3, *x.shape)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(header + x.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, len(y)) + y.tobytes())


def check(data, images):
    for part in ("train", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert np.array_equal(x, images[part][0]) and np.array_equal(y, images[part][1])
        assert (x.dtype, y.dtype) == (np.uint8, np.int64) and x.flags.c_contiguous


def test_cifar100_is_read_with_its_fine_labels(cifar100, images):
    check(load_dataset("cifar100", cifar100), images)


def test_svhn_is_read_with_ten_as_the_digit_zero(svhn, images):
    check(load_dataset("svhn", svhn), images)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashionmnist", "FashionMNIST")])
def test_mnist_and_fashion_mnist_have_one_channel(tmp_path, images, name, folder):
    write_idx(tmp_path / folder / "raw", images)
    check(load_dataset(name, tmp_path), {part: (x[:, :28, :28, :1], y) for part, (x, y) in images.items()})


def test_each_has_a_usual_network_and_recipe(tmp_path, cifar100, svhn, images):
    write_idx(tmp_path / "MNIST" / "raw", images)
    found = {name: make_benchmark(name, data_dir=tmp_path) for name in ("cifar100", "svhn", "mnist")}
    assert {name: str(benchmark.model) for name, benchmark in found.items()} == {
        "cifar100": "resnet18",
        "svhn": "resnet18",
        "mnist": "resnet8",
    }
    assert found["svhn"].recipe.padding == found["mnist"].recipe.padding == 0  # figures are not mirrored
    assert len({benchmark.fingerprint for benchmark in found.values()}) == 3


@pytest.mark.parametrize("name", ["cifar100", "svhn", "mnist", "fashionmnist"])
def test_what_is_not_there_and_cannot_be_downloaded_is_one_line(tmp_path, monkeypatch, name, capsys):
    import urllib.error
    import urllib.request

    def no_network(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        load_dataset(name, tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert capsys.readouterr().out == ""  # stdout is for results


def test_an_image_size_is_for_folders_alone(tmp_path):
    with pytest.raises(UserError, match="--image-size 64: only the images of a folder"):
        load_dataset("digits", tmp_path, 64)
