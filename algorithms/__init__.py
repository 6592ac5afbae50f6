"""Algorithms by name. Each is a function (net, retain, forget, validation, *, hyper-parameters) -> net."""

from forget512.algorithms.catalogue import ALGORITHMS, METHODS
from forget512.algorithms.presets import NAMED, SMALL

__all__ = ["ALGORITHMS", "METHODS", "NAMED", "SMALL", *ALGORITHMS]

globals().update(ALGORITHMS)  # `from algorithms import finetune` is the function, not the module of that name
