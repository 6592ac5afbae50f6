"""Terminal list of the built-in algorithms."""

import json

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from forget512.algorithms import ALGORITHMS


def show_algorithms() -> RenderableType:
    """List every built-in algorithm: description, publication, sets read, presets and hyper-parameters."""
    parts: list[RenderableType] = []
    for method in ALGORITHMS.values():
        names = [method.published, *method.presets, *(f"small ({dataset})" for dataset in method.small)]
        values = [f"{name}={json.dumps(value)}" for name, value in method.defaults.items()]
        reads = " and ".join(method.reads) or "no set"
        about = f"  ({method.paper}; reads {reads}; presets {', '.join(names)})"
        parts.append(Text.assemble((method.name, "bold"), about))
        parts += [Padding(Text(line), (0, 0, 0, 4)) for line in (method.summary, " ".join(values)) if line]
    note = "Select a preset by NAME:PRESET. The default is `small` if the data set has it, else the published one."
    return Group(*parts, Text(f"\n{note}"))
