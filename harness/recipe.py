"""Recipes: how a network is trained from scratch; the usual ones, and those from users' TOML files."""

import math
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError, first_line, one_of


@dataclass(frozen=True)
class Recipe:
    """How a network is trained from scratch. batch_size also holds for the loaders that candidates get."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup: float  # epochs of linear warm-up
    padding: int  # mirrored and shifted by up to this many pixels; 0: no augmentation
    momentum: float = 0.9

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        """What `retrain` is called with."""
        values = asdict(self)
        del values["batch_size"]
        return values

    def of_epochs(self, epochs: int) -> "Recipe":
        """The same for another number of epochs; the warm-up takes a quarter of them at most."""
        return replace(self, epochs=epochs, warmup=min(self.warmup, epochs / 4))


CIFAR_RECIPE = Recipe(epochs=30, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=4)
# Digits and figures must not be mirrored: no augmentation. Not searched for, unlike those of docs/presets.md.
MNIST_RECIPE = Recipe(epochs=10, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=0)
SVHN_RECIPE = Recipe(epochs=30, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=0)


def read_recipe(path: Path, usual: Recipe) -> Recipe:
    """Read a TOML file with any of a recipe's fields; the others are those of `usual`.

    Raises:
        UserError: it cannot be read, has an unknown key, or a value of another type or out of range.
    """
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"--recipe {path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"--recipe {path} cannot be read as TOML: {first_line(error)}.") from error
    kinds = {field.name: field.type for field in fields(Recipe)}
    for name, value in values.items():
        kind = kinds[one_of(f"--recipe {path}: key", name, kinds)]
        if kind is float and type(value) is int:
            value = values[name] = float(value)
        if type(value) is not kind or not math.isfinite(value):
            wanted = "a whole number" if kind is int else "a number"
            raise UserError(f"--recipe {path}: {name} = {value!r} is not allowed: give {wanted}.")
    if "epochs" in values and values["epochs"] >= 1 and "warmup" not in values:
        usual = usual.of_epochs(values["epochs"])
    recipe = replace(usual, **values)
    for name, allowed, fits in (
        ("epochs", "at least 1", recipe.epochs >= 1),
        ("batch_size", "at least 2 (batch norm takes a variance over them)", recipe.batch_size >= 2),
        ("lr", "above 0", recipe.lr > 0),
        ("weight_decay", "at least 0", recipe.weight_decay >= 0),
        ("warmup", f"from 0 to the {recipe.epochs} epochs that there are", 0 <= recipe.warmup <= recipe.epochs),
        ("padding", "at least 0 pixels", recipe.padding >= 0),
        ("momentum", "above 0 and below 1 (it is Nesterov's)", 0 < recipe.momentum < 1),
    ):
        if not fits:
            raise UserError(f"--recipe {path}: {name} = {getattr(recipe, name)!r} is not allowed: give {allowed}.")
    return recipe
