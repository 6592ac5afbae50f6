"""Training recipes: the default ones, and those from users' TOML files."""

import json
import math
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from forget512.harness.errors import UserError, first_line, one_of
from forget512.harness.hashing import canonical_json

OPTIMIZERS = ("sgd", "adam", "adamw")  # those of `retrain`, whose module would import torch
SCHEDULES = ("cosine", "linear", "constant", "steps")

# Fields that older versions lack: they are part of the identity only where they differ from these values.
STEPS = ("milestones", "factor")
LATER = ("optimizer", "schedule", *STEPS, "mirror")


@dataclass(frozen=True)
class Recipe:
    """A recipe that trains a network from scratch. batch_size also applies to the loaders that candidates get."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup: float  # epochs of linear warm-up
    padding: int  # shifted by up to this many pixels
    momentum: float = 0.9  # of sgd, Nesterov's
    optimizer: str = "sgd"
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()  # epochs after which lr falls in the schedule `steps`
    factor: float = 0.1  # factor by which it falls
    mirror: float | None = None  # share of the images that are mirrored; None: half if images are shifted, else none

    @property
    def values(self) -> dict[str, Any]:
        """The fields that have an effect, given the others, as a recipe file writes them."""
        mirror = (0.5 if self.padding else 0.0) if self.mirror is None else self.mirror
        idle = [*(["momentum"] if self.optimizer != "sgd" else []), *(STEPS if self.schedule != "steps" else [])]
        found = {name: value for name, value in asdict(self).items() if name not in idle}
        return json.loads(canonical_json({**found, "mirror": mirror}))

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        """The keyword arguments of `retrain`."""
        values = self.values
        del values["batch_size"]
        return values

    @property
    def identity(self) -> dict[str, Any]:
        """The values that the fingerprint hashes."""
        before: dict[str, Any] = {field.name: field.default for field in fields(self) if field.name in LATER}
        plain = replace(self, **before).values
        return {name: value for name, value in self.values.items() if name not in LATER or value != plain.get(name)}

    def of_epochs(self, epochs: int) -> "Recipe":
        """Change the number of epochs; the warm-up takes at most a quarter of them."""
        return replace(self, epochs=epochs, warmup=min(self.warmup, epochs / 4))


CIFAR_RECIPE = Recipe(epochs=30, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=4)
# cifar10-fast's: lr rises for a fifth of the training and falls to 0; both factors multiply, so that 0.5 peaks at the
# published 0.4. Without its cut-out patches, and 20 epochs instead of 24. Not verified over a whole training.
RESNET9_RECIPE = Recipe(epochs=20, batch_size=512, lr=0.5, weight_decay=5e-4, warmup=4.0, padding=4, schedule="linear")
# Digits and figures must not be mirrored: no augmentation. Not searched for, unlike those of docs/presets.md.
MNIST_RECIPE = Recipe(epochs=10, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=0)
SVHN_RECIPE = Recipe(epochs=30, batch_size=128, lr=0.1, weight_decay=5e-4, warmup=1.0, padding=0)

WANTED: dict[Any, str] = {int: "a whole number", str: "a text in quotes", tuple[float, ...]: "a list of numbers"}


def read_recipe(path: Path, usual: Recipe) -> Recipe:
    """Read a TOML file with some of a recipe's fields; the others come from `usual`.

    Raises:
        UserError: it cannot be read, has an unknown key, a value of a wrong type or out of range, or contradictory
            fields.
    """
    where = f"--recipe {path}:"
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"--recipe {path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"--recipe {path} cannot be read as TOML: {first_line(error)}.") from error
    kinds = {field.name: field.type for field in fields(Recipe)}
    for name, value in values.items():
        kind = kinds[one_of(f"{where} key", name, kinds)]
        try:
            values[name] = _plain(value, kind)
        except (TypeError, OverflowError) as error:
            raise UserError(
                f"{where} {name} = {value!r} is not allowed: give {WANTED.get(kind, 'a number')}."
            ) from error
    if "epochs" in values and values["epochs"] >= 1 and "warmup" not in values:
        usual = usual.of_epochs(values["epochs"])
    recipe = replace(usual, **values)
    one_of(f"{where} optimizer", recipe.optimizer, OPTIMIZERS)
    one_of(f"{where} schedule", recipe.schedule, SCHEDULES)
    _check_together(where, recipe, values)
    last = recipe.epochs
    for name, allowed, fits in (
        ("epochs", "at least 1", last >= 1),
        ("batch_size", "at least 2 (batch norm takes a variance over them)", recipe.batch_size >= 2),
        ("lr", "above 0", recipe.lr > 0),
        ("weight_decay", "at least 0", recipe.weight_decay >= 0),
        ("warmup", f"from 0 to the number of epochs, {last}", 0 <= recipe.warmup <= last),
        ("padding", "at least 0 pixels", recipe.padding >= 0),
        ("mirror", "a share of the images, from 0 to 1", 0 <= recipe.values["mirror"] <= 1),
        ("momentum", "above 0 and below 1 (Nesterov momentum)", 0 < recipe.momentum < 1),
        (
            "milestones",
            f"ascending epochs, above 0 and below {last}",
            sorted({0, *recipe.milestones, last}) == [0, *recipe.milestones, last],
        ),
        ("factor", "above 0 and below 1", 0 < recipe.factor < 1),
    ):
        if not fits:
            raise UserError(f"{where} {name} = {recipe.values[name]!r} is not allowed: give {allowed}.")
    return recipe


def _plain(value: Any, kind: Any) -> Any:
    """Convert a TOML value to a field's type. Raises TypeError or OverflowError for a value of another type."""
    if kind == tuple[float, ...]:
        if type(value) is list:
            return tuple(_plain(each, float) for each in value)
    elif kind is str:
        if type(value) is str:
            return value
    elif type(value) in ((int,) if kind is int else (int, float)) and math.isfinite(value):
        return value if kind is int else float(value)
    raise TypeError


def _check_together(where: str, recipe: Recipe, given: dict[str, Any]) -> None:
    """Refuse contradictory fields, and a field without another one that it needs."""
    if recipe.optimizer != "sgd":
        if "momentum" in given:
            raise UserError(
                f"{where} momentum is for sgd, but the optimizer is {recipe.optimizer}: remove one of them."
            )
        if "lr" not in given:
            raise UserError(f"{where} the default lr = {recipe.lr} is for sgd: give an lr for {recipe.optimizer}.")
    if recipe.schedule == "steps":
        if not recipe.milestones:
            raise UserError(f"{where} schedule = 'steps' needs milestones: give a list of epochs after which lr falls.")
    else:
        for name in STEPS:
            if name in given:
                raise UserError(
                    f"{where} {name} is for the schedule 'steps', but the schedule is {recipe.schedule!r}: "
                    "remove one of them."
                )
