"""Makes a benchmark from its options: loads the data, draws the split, chooses architecture and recipe."""

from pathlib import Path

import numpy as np

from forget512.harness.benchmark import networks
from forget512.harness.benchmark.benchmark import Benchmark, Split
from forget512.harness.benchmark.data.loading import load_dataset
from forget512.harness.benchmark.forget_set import choose_forget_set
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.benchmark.recipe import CIFAR_RECIPE, MNIST_RECIPE, SVHN_RECIPE, Recipe, read_recipe
from forget512.harness.errors import UserError, one_of

PRECISIONS = ("float32", "bfloat16")

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
LARGE = 64  # pixels a side: from this size on, images of a folder get the usual network for large images


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
    network = None if model is None else networks.find(model)
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
    forget, groups = choose_forget_set(data, random, forget_fraction, indices, forget_class, forget_groups)
    retain = np.setdiff1d(np.arange(len(data.y_train)), forget)
    if len(data.y_test) < 2:
        raise UserError(f"{dataset} has {len(data.y_test)} test example: validation and test need at least one each.")
    halves = random.permutation(len(data.y_test))
    cut = len(halves) // 2
    split = Split(retain, forget, np.sort(halves[:cut]), np.sort(halves[cut:]))
    return Benchmark(data, split, network or usual_model, training, precision, groups)
