"""Hyper-parameters by name. A function's own defaults are the published ones, and a preset too: see `Method.published`.

How those of our benchmarks were found, on other seeds and another forget set than those that are scored:
docs/presets.md.
"""

from typing import Any

Values = dict[str, Any]

# The preset `small`, by algorithm and data set: taken where nothing else is asked for.
SMALL: dict[tuple[str, str], Values] = {
    ("finetune", "digits"): {"epochs": 2, "lr": 0.1},
    ("forget_remember", "digits"): {"epochs": (1, 1, 2), "lr": (0.05,)},
    ("finetune", "cifar10-mini"): {"epochs": 1, "lr": 0.05},
    ("forget_remember", "cifar10-mini"): {"draws": (1, 1, 0), "epochs": (1, 1, 2), "lr": (0.1,)},
}

# Other published settings, by algorithm and name.
NAMED: dict[tuple[str, str], Values] = {
    ("finetune", "starting-kit"): {"epochs": 5, "lr": 0.1},
}
