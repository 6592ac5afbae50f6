"""What the score and the readings beside it say of retrainings under other recipes, of methods, and of cheats.

    python tests/benchmarks/red_team.py --runs 64
    python tests/benchmarks/red_team.py --runs 8 --dataset cifar10-mini --data-dir DIR

Prints the tables of docs/what-the-score-measures.md. All runs start from one original model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from forget512 import Candidate, Result, evaluate

AFRESH = """
import torch
from forget512.algorithms import retrain
from forget512.algorithms.training import reinitialise, resized


def from_scratch(net, loader, epochs=6, lr=0.1, weight_decay=5e-4, batch=64):
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            reinitialise(module)
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()
    loader = loader if batch == loader.batch_size else resized(loader, batch)
    recipe = dict(epochs=epochs, lr=lr, weight_decay=weight_decay, warmup=1.0, padding=0)
    return retrain(net, loader, None, None, **recipe)
"""
FILES = {
    "shift.py": AFRESH
    + """

def unlearning(net, retain, forget, validation, epochs=6, lr=0.1, weight_decay=5e-4, batch=64):
    return from_scratch(net, retain, epochs, lr, weight_decay, batch)
""",
    "noise_on_bias.py": """
import torch
from forget512.algorithms import finetune


def unlearning(net, retain, forget, validation, sigma=1.0):
    finetune(net, retain, forget, validation, epochs=1, lr=0.05)
    with torch.no_grad():
        net.fc.bias.add_(sigma * torch.randn_like(net.fc.bias))
    return net
""",
    "some_retrain.py": AFRESH
    + """

def unlearning(net, retain, forget, validation, share=0.45, epochs=12, batch=64):
    if torch.rand(()).item() < share:
        return from_scratch(net, retain, epochs, batch=batch)
    with torch.no_grad():
        for weight in (p for p in net.parameters() if p.dim() > 1):
            weight.add_(0.02 * weight.std() * torch.randn_like(weight))
    return net
""",
    "shorter.py": AFRESH
    + """

def unlearning(net, retain, forget, validation, epochs=5, batch=64):
    return from_scratch(net, retain, epochs, batch=batch)
""",
}
RECIPES = {"digits": (6, 64), "cifar10-mini": (12, 128)}  # epochs and batch size
METHODS = [
    "seif",
    "kookmin",
    "forget_remember",
    "scrub",
    "finetune",
    "neggrad_plus",
    "salun",
    "boundary_shrink",
    "original",
]
CHEATS = {
    "noise_on_bias.py": "cheat: one epoch of fine-tuning, then noise on the last bias",
    "some_retrain.py": "cheat: 45 % of the runs retrain, the others add noise to the weights",
    "shorter.py": "cheat: retrains with one epoch less",
}


def candidates(folder: Path, dataset: str) -> list[Candidate]:
    """Write the files, and name every row."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    epochs, batch = RECIPES[dataset]
    recipe = {"epochs": epochs, "batch": batch}
    shifts = {
        "weight decay × 4": {"weight_decay": 2e-3},
        f"{epochs * 4 // 3} epochs instead of {epochs}": {"epochs": epochs * 4 // 3},
        "learning rate × 2": {"lr": 0.2},
        f"batch {2 * batch} instead of {batch}": {"batch": 2 * batch},
        f"{epochs // 2} epochs instead of {epochs}": {"epochs": epochs // 2},
    }
    cheats = {
        "noise_on_bias.py": {},
        "some_retrain.py": {"epochs": 2 * epochs, "batch": batch},
        "shorter.py": {"epochs": epochs - 1, "batch": batch},
    }
    return [
        *(Candidate(folder / "shift.py", {**recipe, **each}, f"*shift*: {name}") for name, each in shifts.items()),
        *(Candidate(name, name=f"`{name}`") for name in METHODS),
        *(Candidate(folder / file, settings, CHEATS[file]) for file, settings in cheats.items()),
    ]


def table(result: Result) -> Iterator[str]:
    """The rows as Markdown, shifts, methods and cheats by score."""
    yield "| row | of ceiling | not forgotten (95 %) | joint AUC | effective dimension | warnings |"
    yield "| --- | ---: | --- | ---: | ---: | --- |"
    for each in result:
        found = each.row.assessment
        assert found
        memory, together = found.not_forgotten, found.joint
        known = "" if memory is None else "unknown"
        if memory and memory.interval:
            known = f"{memory.share:.2f} ({memory.interval[0]:.2f} … {memory.interval[1]:.2f})"
        joint = f"{together.auc:.2f} | {together.dimension:.1f}" if together else " | "
        names = ", ".join(f"`{w.name}`" for w in each.warnings if w.name != "several-settings")
        share = "" if each.share_of_ceiling is None else f"{each.share_of_ceiling:.0%}"
        yield f"| {each.name} | {share} | {known} | {joint} | {names} |"


@click.command()
@click.option("--runs", default=64, show_default=True)
@click.option("--dataset", type=click.Choice(list(RECIPES)), default="digits", show_default=True)
@click.option("--data-dir", default="data", show_default=True)
@click.option("--store", default="build/red-team", show_default=True)
def main(runs: int, dataset: str, data_dir: str, store: str) -> None:
    """Run what is missing, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        found = candidates(Path(folder), dataset)
        result = evaluate(*found, runs=runs, dataset=dataset, data_dir=data_dir, store=store)
    print(result.board.ceiling)
    print("\n".join(table(result)))


if __name__ == "__main__":
    main()
