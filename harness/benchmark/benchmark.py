"""Benchmark: data set, split, architecture, recipe and precision, identified by a hash of all of these."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from forget512.harness.benchmark import networks
from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.benchmark.recipe import Recipe
from forget512.harness.hashing import sha256

PROTOCOL = 1  # increase it when the meaning of a benchmark changes in a way that its description does not show
PROBE = 1000  # most retain examples, and most test examples, whose logits each record also holds


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
    """The data that unlearning code may see."""

    model: networks.Model
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
    """The data that only the examiner may see: the test set, and which examples form the probe."""

    test: Examples
    probe_retain: np.ndarray  # indices into the retain set
    probe_test: np.ndarray  # indices into the test set


class Described(Protocol):
    """What identifies a benchmark, whether it has its data or only a store's description."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def identity(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Data set, split, architecture, training recipe and precision."""

    dataset: Dataset
    split: Split
    model: networks.Model
    recipe: Recipe
    precision: str
    groups: np.ndarray | None = None  # (n,) int64, the group of each training image; not part of the identity

    @property
    def name(self) -> str:
        return self.dataset.name

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The JSON values that the fingerprint hashes; runs of two benchmarks may be compared if these are equal."""
        net = networks.build(self.model, self.dataset.classes, self.dataset.image_shape)
        shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
        return {
            "protocol": PROTOCOL,
            "data": {"sha256": self.dataset.sha256, "classes": self.dataset.classes},
            "split": {
                part: {"examples": len(indices), "sha256": sha256(indices.astype("<i8").tobytes())}
                for part, indices in vars(self.split).items()
            },
            "model": {**networks.identity(self.model), "shapes_sha256": sha256(shapes)},
            "recipe": self.recipe.identity,
            "precision": self.precision,
        }

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits; the first 12 name the benchmark's folder in a store."""
        return sha256(self.identity)

    @property
    def description(self) -> dict[str, Any]:
        """The description that a store saves with the banks: the identity, and what scoring needs without the data set.

        The last entry is the hash of the others; files of older versions lack it.
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
        """{"retain", "test"}: (≤ 1000,) int64, the true classes of the probe's examples."""
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


def title(benchmark: Described) -> str:
    """Describe data set, network, forget set, recipe, precision and fingerprint in one line."""
    identity = benchmark.identity
    forget, retain = (identity["split"][part]["examples"] for part in ("forget", "retain"))
    return (
        f"{benchmark.name}, {identity['model']['name']}, {forget} of {forget + retain} forgotten, "
        f"{identity['recipe']['epochs']} epochs, {identity['precision']}, benchmark {benchmark.fingerprint[:12]}"
    )
