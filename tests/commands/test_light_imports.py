"""Commands that only read load neither torch nor Ray, each in a process of its own."""

from __future__ import annotations

import pytest

from support.reading import COMMANDS, Ended, ReadingCommands


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> ReadingCommands:
    return ReadingCommands(tmp_path_factory.mktemp("reading"))


def loaded(ended: Ended, *packages: str) -> list[str]:
    return [package for package in packages if package in ended.packages]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_only_reads_loads_neither_torch_nor_ray(commands, name):
    ended = commands.run(name)
    # Made-up accuracies are not those of the logits, which is what `verify` has to find.
    assert ended.status == (1 if name == "verify" else 0), ended.output
    assert loaded(ended, "ray", "torch", "torchvision") == []


@pytest.mark.parametrize("name", ["--help", "evaluate --help"])
def test_help_loads_no_numerical_package(commands, name):
    assert loaded(commands.run(name), "numba", "numpy", "scipy") == []
