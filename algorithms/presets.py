"""Hyper-parameters by name. A function's own defaults are the published ones, and a preset too: see `Method.published`.

How those of our benchmarks were found, on other seeds and another forget set than those that are scored:
docs/presets.md.
"""

from typing import Any

Values = dict[str, Any]

# The preset `small`, by algorithm and data set: taken where nothing else is asked for.
SMALL: dict[tuple[str, str], Values] = {
    ("finetune", "digits"): {"epochs": 2, "lr": 0.1},
    ("forget_remember", "digits"): {"draws": (1, 1, 1), "loss": "ce", "epochs": (1, 1, 2), "lr": (0.1,)},
    ("forget_remember_2", "digits"): {"draws": (1, 1, 0), "epochs": (2, 1, 1), "lr": (0.05, 0.1, 0.1, 0.1)},
    ("fanchuan", "digits"): {
        "rounds": 3,
        "uniform_lr": 0.05,
        "forget_lr": 0.01,
        "retain_lr": 0.1,
        "retain_batch": 64,
        "weight_decay": 5e-4,
    },
    ("kookmin", "digits"): {"epochs": 3, "lr": 0.1},
    ("seif", "digits"): {"epochs": 3, "lr": 0.1, "last_sigma": 0.05},
    ("sebastian", "digits"): {"lr": 0.05, "share": 0.7},
    ("toshi_marvelous", "digits"): {"lr": 0.1},
    ("amnesiacs", "digits"): {"warmup_epochs": 2, "warmup_lr": 0.1, "lr": 0.1},
    ("sun", "digits"): {"epochs": 2, "tensors": 5, "lr": 0.1, "factors": (1.0, 0.1)},
    ("neggrad", "digits"): {"epochs": 3, "lr": 0.03},
    ("neggrad_plus", "digits"): {"epochs": 2, "lr": 0.1, "alpha": 0.9},
    ("random_labels", "digits"): {"epochs": 1},
    ("scrub", "digits"): {"epochs": 2, "msteps": 1, "lr": 0.02, "decay_at": ()},
    ("bad_teacher", "digits"): {"lr": 3e-4},
    ("salun", "digits"): {"epochs": 1, "lr": 0.05, "momentum": 0.9},
    ("l1_sparse", "digits"): {"epochs": 3, "lr": 0.1, "gamma": 1e-3},
    ("fisher", "digits"): {"samples": 300, "alpha": 6e-7},
    ("influence", "digits"): {"samples": 200, "alpha": 1.0, "damping": 0.05},
    ("ssd", "digits"): {"samples": 300, "alpha": 7.0},
    ("cf_k", "digits"): {"k": 3, "epochs": 3, "lr": 0.2},
    ("eu_k", "digits"): {"k": 3, "epochs": 3, "lr": 0.1},
    ("boundary_shrink", "digits"): {"epochs": 2, "lr": 1e-3},
    ("unsir", "digits"): {"noise_images": 8, "noise_steps": 10, "lr": (0.02, 0.01)},
    ("distil", "digits"): {"start": "noise", "sigma": 1.0, "epochs": 3, "lr": 0.1},
    ("finetune", "cifar10-mini"): {"epochs": 1, "lr": 0.1},
    ("forget_remember", "cifar10-mini"): {"draws": (1, 1, 0), "loss": "ce", "epochs": (1, 1, 2), "lr": (0.1,)},
    ("forget_remember_2", "cifar10-mini"): {"draws": (1, 1, 0), "epochs": (2, 1, 1), "lr": (0.1, 0.2, 0.2, 0.2)},
    ("fanchuan", "cifar10-mini"): {
        "rounds": 3,
        "forget_lr": 6e-3,
        "retain_lr": 0.2,
        "retain_batch": 128,
        "weight_decay": 5e-4,
    },
    ("kookmin", "cifar10-mini"): {"epochs": 3, "lr": 0.2},
    ("seif", "cifar10-mini"): {"epochs": 3, "lr": 0.1},
    ("sebastian", "cifar10-mini"): {"lr": 0.1, "share": 0.7},
    ("toshi_marvelous", "cifar10-mini"): {"lr": 0.1},
    ("amnesiacs", "cifar10-mini"): {"warmup_epochs": 2, "warmup_lr": 0.1, "lr": 0.1, "temperature": 2.0},
    ("sun", "cifar10-mini"): {"epochs": 2, "tensors": 5, "lr": 0.1, "factors": (1.0, 0.5)},
    ("neggrad", "cifar10-mini"): {"epochs": 1, "lr": 0.02},
    ("scrub", "cifar10-mini"): {"epochs": 2, "msteps": 1, "lr": 0.04, "decay_at": ()},
    ("salun", "cifar10-mini"): {"epochs": 1, "lr": 0.1, "momentum": 0.9},
    ("ssd", "cifar10-mini"): {"samples": 300, "alpha": 3.0},
}

# Other published settings, by algorithm and name.
NAMED: dict[tuple[str, str], Values] = {
    ("finetune", "starting-kit"): {"epochs": 5, "lr": 0.1},
}
