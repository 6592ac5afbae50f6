"""Data sets from .npz files: what is read, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.benchmark.data.npz import read_npz
from forget512.harness.errors import UserError


def equal(one: Dataset, other: Dataset) -> bool:
    return all(
        np.array_equal(getattr(one, key), getattr(other, key)) for key in ("x_train", "y_train", "x_test", "y_test")
    )


def refusal(path, *parts: str) -> str:
    """The one line with which a file is refused; it names the file and each of parts."""
    with pytest.raises(UserError) as caught:
        read_npz(path)
    line = str(caught.value)
    assert "\n" not in line
    for part in (str(path), *parts):
        assert part in line
    return line


# --- .npz files that are read ---


def test_an_npz_file_is_read_as_it_stands(arrays, npz):
    data = read_npz(npz())
    assert equal(data, Dataset("tiny", **arrays))
    assert (data.name, data.classes, data.image_shape) == ("tiny", 3, (8, 8, 1))


def test_images_without_a_channel_axis_have_one_channel(arrays, npz):
    assert equal(read_npz(npz(x_train=arrays["x_train"][..., 0])), read_npz(npz()))


def test_labels_may_be_columns(arrays, npz):
    plain = read_npz(npz())
    assert equal(read_npz(npz(y_train=arrays["y_train"][:, None], y_test=arrays["y_test"][:, None])), plain)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.uint8])
def test_whole_numbers_of_any_type_are_taken(arrays, npz, kind):
    plain = read_npz(npz())
    data = read_npz(npz(**{key: value.astype(kind) for key, value in arrays.items()}))
    assert equal(data, plain) and data.sha256 == plain.sha256
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int64)


def test_further_keys_do_not_matter(npz):
    assert equal(read_npz(npz(comment=np.array("by hand"))), read_npz(npz()))


def test_a_compressed_file_is_read(arrays, tmp_path):
    np.savez_compressed(tmp_path / "small.npz", **arrays)
    assert equal(read_npz(tmp_path / "small.npz"), Dataset("small", **arrays))


def test_the_test_set_may_lack_a_class(arrays, npz):
    here = arrays["y_test"] < 2
    data = read_npz(npz(x_test=arrays["x_test"][here], y_test=arrays["y_test"][here]))
    assert data.classes == 3 and len(data.y_test) == 16


# --- .npz files that are refused ---


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_key_is_named(npz, key):
    refusal(npz(**{key: None}), f"lacks {key}", "x_train, y_train, x_test, y_test")


def test_an_empty_archive_lacks_everything(tmp_path):
    np.savez(tmp_path / "nothing.npz")
    refusal(tmp_path / "nothing.npz", "it has nothing")


@pytest.mark.parametrize("shape", [(60,), (60, 64), (60, 8, 8, 1, 1), (0, 8, 8, 1), (60, 8, 8, 0)])
def test_misshapen_images_are_refused(npz, shape):
    refusal(npz(x_train=np.zeros(shape, np.uint8)), "x_train", str(shape), "(n, H, W, channels)")


@pytest.mark.parametrize("shape", [(60, 2), (60, 1, 1), (0,), ()])
def test_misshapen_labels_are_refused(npz, shape):
    refusal(npz(y_train=np.zeros(shape, int)), "y_train", str(shape), "(n,)")


def test_images_too_small_for_a_network_are_refused(npz):
    refusal(npz(x_test=np.zeros((24, 3, 8, 1), np.uint8)), "x_test", "3 × 8", "4 × 4")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_place(arrays, npz, bad):
    images = arrays["x_test"].astype(np.float32)
    images[5, 1, 2, 0] = bad
    refusal(npz(x_test=images), "x_test", "1 values", "(5, 1, 2, 0)")


def test_scaled_images_are_refused(arrays, npz):
    refusal(npz(x_train=arrays["x_train"] / 255), "x_train", "fractions", "0 … 255")


def test_labels_that_are_fractions_are_refused(arrays, npz):
    refusal(npz(y_train=arrays["y_train"] + 0.5), "y_train", "fractions")


@pytest.mark.parametrize("value", [-1, 256, 70000])
def test_images_outside_0_to_255_are_refused(arrays, npz, value):
    images = arrays["x_train"].astype(int)
    images[3, 0, 0, 0] = value
    refusal(npz(x_train=images), "x_train", str(value), "0 … 255")


def test_different_numbers_of_examples_are_refused(arrays, npz):
    refusal(npz(y_test=arrays["y_test"][:-1]), "x_test has 24", "y_test 23", "the numbers must be equal")


def test_images_of_two_sizes_are_refused(arrays, npz):
    refusal(npz(x_test=np.zeros((24, 8, 9, 1), np.uint8)), "x_train", "(8, 8, 1)", "x_test", "(8, 9, 1)")


def test_labels_that_skip_a_class_are_refused(arrays, npz):
    refusal(npz(y_train=arrays["y_train"] * 2), "y_train", "0 … C-1")


def test_a_single_class_is_refused(arrays, npz):
    refusal(npz(y_train=arrays["y_train"] * 0), "y_train", "at least 2")


def test_a_negative_label_is_refused(arrays, npz):
    refusal(npz(y_test=arrays["y_test"] - 1), "y_test", "-1", "0 … C-1")


@pytest.mark.parametrize("label", [np.int64(3), np.float64(1e300), np.uint64(2**64 - 1)])
def test_a_test_label_that_no_training_image_has_is_refused(arrays, npz, label):
    labels = arrays["y_test"].astype(label.dtype)
    labels[0] = label
    refusal(npz(y_test=labels), "y_test", "0 … 2" if label == 3 else "not a valid class number")


def test_text_labels_are_refused(arrays, npz):
    refusal(npz(y_train=np.array(["cat"] * 60)), "y_train", "must hold numbers")


def test_pickled_objects_are_never_read(npz):
    refusal(npz(y_train=np.array([0, "one"] * 30, object)), "y_train")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "text.npz"
    path.write_text("x_train: none\ny_train: none\n")
    refusal(path, ".npz file")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.npz").write_bytes(b"")
    refusal(tmp_path / "empty.npz", ".npz file")


def test_a_single_array_under_another_name_is_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    refusal(tmp_path / "one.npz")


def test_every_truncated_archive_is_refused(npz):
    path = npz()
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refusal(path)


def test_an_archive_with_a_flipped_byte_is_refused(arrays, npz):
    path = npz()
    whole = bytearray(path.read_bytes())
    whole[whole.index(arrays["x_train"].tobytes()[:32])] ^= 1
    path.write_bytes(whole)
    refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refusal(tmp_path / "nowhere.npz", "does not exist")
    (tmp_path / "folder.npz").mkdir()
    refusal(tmp_path / "folder.npz")
