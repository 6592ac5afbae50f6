"""Algorithms by name. Each is a function (net, retain, forget, validation, *, hyper-parameters) -> net.

`from forget512.algorithms import finetune` imports that method's module, and with it torch; nothing else here does.
"""

from typing import Any

if __name__ != "forget512.algorithms":  # a second copy of each function would differ from the first
    raise ImportError("import forget512.algorithms, not algorithms: this folder is a part of forget512.")

from forget512.algorithms.catalogue import ALGORITHMS

__all__ = ["ALGORITHMS", *ALGORITHMS]


def __getattr__(name: str) -> Any:
    if name in ALGORITHMS:
        return ALGORITHMS[name].function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
