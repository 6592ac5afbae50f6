"""Reads the catalogue: every method by name, as the folders' catalogue.toml describe it. Does not import torch.

Each folder of methods has a catalogue.toml with one entry a method. Its fields are those of `Method`.
"""

import ast
import importlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

FOLDERS = ("baselines", "competition", "literature")  # in the order of every listing

Values = dict[str, Any]  # hyper-parameters that differ from the function's defaults


@dataclass(frozen=True)
class Method:
    """A method: a function (net, retain, forget, validation, *, hyper-parameters) -> net, and its description.

    name: of the function. folder, module: its file is folder/module.py; an entry names a module where it has another
          name than the method
    paper: its publication
    reads: the sets among retain, forget and validation that it reads with its defaults
    published: the preset name of its defaults: `kaggle` for the competition's methods, `paper` for the literature's,
               `ours` if nothing is published
    presets: other published settings, by name
    small: the preset `small`, by data set, which is the default there; found on other seeds and another forget set than
           those that are scored (docs/presets.md)
    grid: the settings that `sweep` tries without --grid, each on top of the published ones; the presets `small` were
          found by it. Learning rates are ten to a hundred times the published ones, since forget512's networks are
          trained with SGD at 0.1, not with Adam at 1e-4; most settings keep within 20 % of 30 epochs
    grid_on: the settings that `sweep` tries instead, by data set. On cifar10-mini, learning rates are about twice those
             of digits (like the factors in the reproduction of the 8th place's writeup), and batches have 128 images
    short: settings under which the tests run it on a few images
    """

    name: str
    folder: str
    module: str
    paper: str
    reads: list[str]
    published: str
    presets: dict[str, Values] = field(default_factory=dict)
    small: dict[str, Values] = field(default_factory=dict)
    grid: list[Values] = field(default_factory=list)
    grid_on: dict[str, list[Values]] = field(default_factory=dict)
    short: Values = field(default_factory=dict)

    @property
    def function(self) -> Callable:
        """Import its module (and torch) and return the function."""
        return getattr(importlib.import_module(f"{__package__}.{self.folder}.{self.module}"), self.name)

    def grid_for(self, dataset: str) -> list[Values]:
        """Return the settings that `sweep` tries on a data set."""
        return self.grid_on.get(dataset, self.grid)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (ast.get_docstring(self._definition) or "").partition("\n")[0]

    @property
    def defaults(self) -> Values:
        """Its hyper-parameters by name, evaluated from expressions of constants such as 1 / 300."""
        arguments = self._definition.args
        values = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        return {argument.arg: eval(ast.unparse(value), {"__builtins__": {}}) for argument, value in values if value}

    @property
    def fractional(self) -> list[str]:
        """The hyper-parameters that are annotated as float, whatever their default is."""
        annotated = [(argument.arg, argument.annotation) for argument in self._definition.args.kwonlyargs]
        return [name for name, kind in annotated if isinstance(kind, ast.Name) and kind.id == "float"]

    @cached_property
    def _definition(self) -> ast.FunctionDef:
        path = Path(__file__).resolve().parent / self.folder / f"{self.module}.py"
        found = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)]
        return next(node for node in found if node.name == self.name)


def _read() -> dict[str, Method]:
    found = {}
    for folder in FOLDERS:
        text = (Path(__file__).resolve().parent / folder / "catalogue.toml").read_text("utf-8")
        for name, entry in tomllib.loads(text).items():
            found[name] = Method(name, folder, **{"module": name, **entry})
    return found


ALGORITHMS = _read()
