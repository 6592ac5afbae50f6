"""Algorithms by name. Each is a function (net, retain, forget, validation, *, hyper-parameters) -> net."""

from algorithms.finetune import finetune
from algorithms.forget_remember import forget_remember
from algorithms.presets import PRESETS
from algorithms.retrain import retrain

ALGORITHMS = {function.__name__: function for function in (retrain, finetune, forget_remember)}

__all__ = ["ALGORITHMS", "PRESETS", "finetune", "forget_remember", "retrain"]
