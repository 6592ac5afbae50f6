"""Makes a benchmark from its options: loads the data, draws the split, chooses architecture and recipe."""

from pathlib import Path
from typing import Any

import numpy as np

from forget512.harness.benchmark import networks
from forget512.harness.benchmark.benchmark import Benchmark, Split
from forget512.harness.benchmark.data.loading import load_dataset
from forget512.harness.benchmark.forget_set import choose_forget_set
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.benchmark.recipe import (
    CIFAR_RECIPE,
    MNIST_RECIPE,
    RESNET9_RECIPE,
    SVHN_RECIPE,
    Recipe,
    read_recipe,
)
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
# Data set and architecture: the recipe, where it is not the data set's.
RECIPES: dict[tuple[str, str], Recipe] = {
    ("cifar10", "resnet9"): RESNET9_RECIPE,
    ("cifar100", "resnet9"): RESNET9_RECIPE,
}
LARGE = 64  # pixels a side: from this size on, a folder's images get the default network for large images


def make_benchmark(dataset: str = "digits", **options: Any) -> Benchmark:
    """`build_benchmark` with the fields of BenchmarkOptions as keywords: make_benchmark("digits", epochs=1)."""
    return build_benchmark(BenchmarkOptions(dataset, **options))


def build_benchmark(options: BenchmarkOptions) -> Benchmark:
    """Load the data, draw the split, and choose the default architecture and recipe where none is given.

    The forget set is 10 % of the training images at random by default; the test images are halved at random into
    validation and test, as in the competition's starting kit.

    Raises:
        UserError: an option is invalid.
    """
    dataset, image_size, epochs, recipe = options.dataset, options.image_size, options.epochs, options.recipe
    one_of("--precision", options.precision, PRECISIONS)
    network = None if options.model is None else networks.find(options.model)
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs {epochs}: at least 1 is needed.")
    data = load_dataset(dataset, Path(options.data_dir), image_size)
    usual_model, training = DEFAULTS.get(
        dataset, ("resnet18" if image_size and image_size >= LARGE else "resnet8", CIFAR_RECIPE)
    )
    training = RECIPES.get((dataset, str(network)), training)
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
    random = np.random.RandomState(options.split_seed)  # its stream is frozen; a Generator's is not
    forget, groups = choose_forget_set(data, options, random)
    retain = np.setdiff1d(np.arange(len(data.y_train)), forget)
    if len(data.y_test) < 2:
        raise UserError(f"{dataset} has {len(data.y_test)} test example: validation and test need at least one each.")
    halves = random.permutation(len(data.y_test))
    cut = len(halves) // 2
    split = Split(retain, forget, np.sort(halves[:cut]), np.sort(halves[cut:]))
    return Benchmark(data, split, network or usual_model, training, options.precision, groups)
