"""Data sets by torchvision's names, read by torchvision from small files in its own formats."""

from __future__ import annotations

import hashlib
import pickle
import struct

import numpy as np
import pytest
import scipy.io
import torchvision

from forget512.harness.benchmark.data.loading import load_dataset
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.errors import UserError

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
