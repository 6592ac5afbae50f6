"""Benchmark: data set, split, architecture, recipe and precision, named by the hash of all of these."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness import models
from harness.data import Dataset, load_dataset
from harness.errors import UserError, first_line, one_of
from harness.groups import choose_groups
from harness.identity import sha256
from harness.network_file import NetworkFile
from harness.recipe import CIFAR_RECIPE, MNIST_RECIPE, SVHN_RECIPE, Recipe, read_recipe

PROTOCOL = 1  # raise when the meaning of a benchmark changes in a way that its description does not show
PRECISIONS = ("float32", "bfloat16")
PROBE = 1000  # retain and test examples, at most, whose logits each record keeps beside the forget set's


# Data set: its usual architecture, and the recipe that retrains it. How they were chosen: docs/presets.md.
DEFAULTS: dict[str, tuple[str, Recipe]] = {
    "digits": ("resnet8-thin", Recipe(epochs=6, batch_size=64, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=0)),
    "cifar10-mini": ("resnet8", Recipe(epochs=12, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=0)),
    "cifar10": ("resnet18", CIFAR_RECIPE),
    "cifar100": ("resnet18", CIFAR_RECIPE),
    "svhn": ("resnet18", SVHN_RECIPE),
    "mnist": ("resnet8", MNIST_RECIPE),
    "fashionmnist": ("resnet8", MNIST_RECIPE),
}
LARGE = 64  # pixels, from which on images of a folder get the usual network for large images


@dataclass(frozen=True)
class Split:
    """Indices, int64: retain and forget into the training images, validation and test into the test images."""

    retain: np.ndarray
    forget: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Examples:
    """x (n, H, W, channels) uint8 and y (n,) int64."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class TrainingPart:
    """All that the code which unlearns may know."""

    model: models.Model
    classes: int
    recipe: Recipe
    precision: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    retain: Examples
    forget: Examples
    validation: Examples

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.retain.x.shape[1:]


@dataclass(frozen=True)
class ExaminationPart:
    """What only the examiner knows besides: the test set, and which examples are the probe."""

    test: Examples
    probe_retain: np.ndarray  # indices into the retain set
    probe_test: np.ndarray  # indices into the test set


class Described(Protocol):
    """A benchmark as far as it can be told from others: with its data, or as a store describes it."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def identity(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Data set + split + architecture + training recipe + precision."""

    dataset: Dataset
    split: Split
    model: models.Model
    recipe: Recipe
    precision: str
    groups: np.ndarray | None = None  # (n,) of each training image, where whole groups are forgotten: no ingredient

    @property
    def name(self) -> str:
        return self.dataset.name

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the fingerprint hashes, in words: two benchmarks may be compared where these are equal."""
        net = models.build(self.model, self.dataset.classes, self.dataset.image_shape)
        shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
        return {
            "protocol": PROTOCOL,
            "data": {"sha256": self.dataset.sha256, "classes": self.dataset.classes},
            "split": {
                part: {"examples": len(indices), "sha256": sha256(indices.astype("<i8").tobytes())}
                for part, indices in vars(self.split).items()
            },
            "model": {**models.identity(self.model), "shapes_sha256": sha256(shapes)},
            "recipe": self.recipe.identity,
            "precision": self.precision,
        }

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits; the first 12 name the benchmark's folder in a store."""
        return sha256(self.identity)

    @property
    def description(self) -> dict[str, Any]:
        """What a store keeps beside the banks: the identity, and what it takes to score them without the data.

        Its own hash is the last entry; files of older versions have none.
        """
        values = {
            "name": self.dataset.name,
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "forget_indices": self.split.forget.tolist(),
            "forget_targets": self.forget_targets.tolist(),
            "probe_targets": {name: targets.tolist() for name, targets in self.probe_targets.items()},
        }
        return {**values, "sha256": sha256(values)}

    @property
    def forget_targets(self) -> np.ndarray:
        """(S,) int64: the true class of each forget example."""
        return self.dataset.y_train[self.split.forget]

    @property
    def probe_targets(self) -> dict[str, np.ndarray]:
        """True classes of the probe's "retain" and "test" examples, (≤ 1000,) int64 each."""
        part = self.examination_part
        return {
            "retain": self.training_part.retain.y[part.probe_retain],
            "test": part.test.y[part.probe_test],
        }

    @cached_property
    def training_part(self) -> TrainingPart:
        data, split = self.dataset, self.split
        mean, std = data.normalisation
        return TrainingPart(
            self.model,
            data.classes,
            self.recipe,
            self.precision,
            mean,
            std,
            retain=Examples(data.x_train[split.retain], data.y_train[split.retain]),
            forget=Examples(data.x_train[split.forget], data.y_train[split.forget]),
            validation=Examples(data.x_test[split.validation], data.y_test[split.validation]),
        )

    @cached_property
    def examination_part(self) -> ExaminationPart:
        data, split = self.dataset, self.split
        random = np.random.RandomState(int(self.fingerprint[:8], 16))

        def probe(count: int) -> np.ndarray:
            return np.sort(random.permutation(count)[:PROBE])

        return ExaminationPart(
            test=Examples(data.x_test[split.test], data.y_test[split.test]),
            probe_retain=probe(len(split.retain)),
            probe_test=probe(len(split.test)),
        )


def differences(one: dict[str, Any], other: dict[str, Any], where: str = "") -> list[str]:
    """What differs between two identities, as 'recipe.epochs: 6 v 12'."""
    found: list[str] = []
    for key in sorted(one.keys() | other.keys()):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{where}{key}.")
        elif a != b:
            short = [value[:12] if isinstance(value, str) else value for value in (a, b)]
            found.append(f"{where}{key}: {short[0]} v {short[1]}")
    return found


def check_comparable(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Refuse to compare runs of two benchmarks, given their identities.

    Raises:
        UserError: they differ; names what differs.
    """
    found = differences(one, other)
    if found:
        raise UserError(
            f"the banks are of two benchmarks ({sha256(one)[:12]} and {sha256(other)[:12]}) and cannot be compared: "
            + "; ".join(found)
        )


def make_benchmark(
    dataset: str = "digits",
    *,
    model: str | None = None,
    epochs: int | None = None,
    precision: str = "float32",
    data_dir: str | Path = "data",
    forget_fraction: float | None = None,
    forget_indices: str | Path | None = None,
    forget_class: int | None = None,
    split_seed: int = 0,
    recipe: str | Path | None = None,
    image_size: int | None = None,
    forget_groups: str | None = None,
) -> Benchmark:
    """Load the data, draw the split, choose the usual architecture and recipe where none is given.

    recipe: a TOML file. image_size: of a folder's images. forget_groups: `FILE` or
    `FILE:name,name` (see groups.py).

    The forget set is 10 % of the training images at random unless said; the test images are halved at random into
    validation and test, as in the competition's starting kit.

    Raises:
        UserError: any of the options does not fit.
    """
    one_of("--precision", precision, PRECISIONS)
    network = None if model is None else models.find(model)
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs {epochs}: a recipe has at least 1 epoch.")
    data = load_dataset(dataset, Path(data_dir), image_size)
    usual_model, training = DEFAULTS.get(
        dataset, ("resnet18" if image_size and image_size >= LARGE else "resnet8", CIFAR_RECIPE)
    )
    if recipe is not None:
        if epochs is not None:
            raise UserError(
                f"--epochs {epochs} and --recipe {recipe} both choose the recipe: write epochs in the file."
            )
        training = read_recipe(Path(recipe), training)
    elif epochs is not None:
        training = training.of_epochs(epochs)
    if isinstance(network, NetworkFile):
        network.check(data.classes, data.image_shape)
    random = np.random.RandomState(split_seed)  # its stream is frozen; a Generator's is not
    indices = None if forget_indices is None else Path(forget_indices)
    forget, groups = _forget_set(data, random, forget_fraction, indices, forget_class, forget_groups)
    retain = np.setdiff1d(np.arange(len(data.y_train)), forget)
    if len(data.y_test) < 2:
        raise UserError(f"{dataset} has {len(data.y_test)} test example: validation and test need at least one each.")
    halves = random.permutation(len(data.y_test))
    cut = len(halves) // 2
    split = Split(retain, forget, np.sort(halves[:cut]), np.sort(halves[cut:]))
    return Benchmark(data, split, network or usual_model, training, precision, groups)


def _forget_set(
    data: Dataset,
    random: np.random.RandomState,
    fraction: float | None,
    indices: Path | None,
    label: int | None,
    groups: str | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Indices, and the group of each training image where groups were chosen."""
    count = len(data.y_train)
    given = [
        name
        for name, value in (
            ("--forget-fraction", None if groups else fraction),  # with groups it is the share that they reach
            ("--forget-indices", indices),
            ("--forget-class", label),
            ("--forget-groups", groups),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} both choose the forget set: give one of them.")
    if groups is not None:
        return choose_groups(groups, count, fraction, random)
    if indices is not None:
        return _read_indices(indices, count), None
    if label is not None:
        if not 0 <= label < data.classes:
            raise UserError(f"--forget-class {label}: {data.name} has classes 0 … {data.classes - 1}.")
        return np.flatnonzero(data.y_train == label), None
    fraction = 0.1 if fraction is None else fraction
    size = round(fraction * count) if 0 < fraction < 1 else 0  # NaN is neither
    if not 0 < size < count:
        raise UserError(
            f"--forget-fraction {fraction:g} of {count} training images: give a fraction between 0 and 1 by which "
            "at least one is forgotten and at least one retained."
        )
    return np.sort(random.permutation(count)[:size]), None


def _read_indices(path: Path, count: int) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array([int(word) for word in path.read_text().replace(",", " ").split()], np.int64)
    except FileNotFoundError as error:
        raise UserError(f"--forget-indices {path} does not exist.") from error
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise UserError(
            f"--forget-indices {path} cannot be read: give a .npy file of integers, or a text of integers "
            f"({first_line(error)})."
        ) from error
    if not isinstance(values, np.ndarray):
        raise UserError(f"--forget-indices {path} is an archive of arrays: give one array (.npy), or a text.")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UserError(
            f"--forget-indices {path} holds {values.dtype} of shape {values.shape}: give one dimension of integers."
        )
    if len(values) == 0:
        raise UserError(f"--forget-indices {path} is empty: at least one training image must be forgotten.")
    outside = values[(values < 0) | (values >= count)]
    if len(outside):
        raise UserError(
            f"--forget-indices {path}: {outside[0]} is out of range, training images are 0 … {count - 1} "
            f"({len(outside)} such indices)."
        )
    unique, times = np.unique(values, return_counts=True)
    if len(unique) < len(values):
        raise UserError(
            f"--forget-indices {path}: {unique[times > 1][0]} stands there more than once "
            f"({len(values) - len(unique)} repetitions)."
        )
    if len(unique) == count:
        raise UserError(f"--forget-indices {path} names all {count} training images: nothing would be retained.")
    return unique.astype(np.int64)
