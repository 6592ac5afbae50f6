"""Options that several commands share. Those of the option dataclasses are made from their fields."""

from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import click
from click.shell_completion import CompletionItem

from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.cli.help import GroupedOption
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.workflows.options import RunOptions, ScoreOptions

FILE = click.Path(path_type=Path)


def options_of(kind: Any, parameter: str, group: str) -> Callable[..., Callable]:
    """A decorator for commands: fields of the dataclass `kind` become options, and the command gets one `kind`.

    parameter: of the command, to which it is passed. group: heading of the options in --help. The decorator is called
    with the names of the fields that the command takes; with none it takes all.
    """
    types = get_type_hints(kind)

    def choose(*names: str) -> Callable:
        chosen = [field for field in fields(kind) if not names or field.name in names]

        def decorate(function: Callable) -> Callable:
            @wraps(function)
            def command(**given: Any) -> Any:
                own = {field.name: given.pop(field.name) for field in chosen}
                return function(**given, **{parameter: kind(**own)})

            for field in reversed(chosen):
                _option(field, types[field.name], group)(command)
            return command

        return decorate

    return choose


def flag(field: Field) -> str:
    """The name of a field's option."""
    return f"--{field.name.replace('_', '-')}"


def _option(field: Field, annotation: Any, group: str) -> Callable:
    """An option from a field: its type is the annotated one, a path where that is among several."""
    kinds = {*get_args(annotation)} - {NoneType} or {annotation}
    is_flag = bool in kinds
    return click.option(
        flag(field),
        cls=GroupedOption,
        group=group,
        type=field.metadata.get("type") or (FILE if Path in kinds else kinds.pop()),
        is_flag=is_flag,
        default=field.default,
        show_default=not is_flag and field.default is not None,
        metavar=field.metadata.get("metavar"),
        help=field.metadata["help"],
    )


benchmark = options_of(BenchmarkOptions, "benchmark", "Benchmark options")
run = options_of(RunOptions, "run", "Run options")
workers = options_of(WorkerOptions, "workers", "Worker options")
scoring = options_of(ScoreOptions, "scoring", "Score options")


def stated(kind: Any) -> list[str]:
    """The options of an option dataclass that the current command line gives: ["--epochs"]."""
    source = click.get_current_context().get_parameter_source
    return [flag(field) for field in fields(kind) if source(field.name) is click.core.ParameterSource.COMMANDLINE]


def as_words(options: Any) -> list[str]:
    """The options that differ from their defaults, as a command line gives them."""
    return [
        word
        for field in fields(options)
        if (value := str(getattr(options, field.name))) != str(field.default)  # a path may be given as text
        for word in (flag(field), value)
    ]


def complete_algorithms(ctx: click.Context, param: click.Parameter, incomplete: str) -> Sequence[CompletionItem]:
    """For the shell: names of built-in algorithms, or where none fits files."""
    from forget512.algorithms import ALGORITHMS

    names = [name for name in ALGORITHMS if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *map(CompletionItem, names)]


def algorithms(required: bool = True) -> Callable:
    """The argument ALGORITHM …, completed by `complete_algorithms`."""
    metavar = "ALGORITHM|FILE.py|FILE.ipynb ..."
    return click.argument(
        "algorithms",
        nargs=-1,
        required=required,
        metavar=metavar if required else f"[{metavar}]",
        shell_complete=complete_algorithms,
    )


settings = click.option(
    "--set",
    "settings",
    cls=GroupedOption,
    group="Algorithm options",
    multiple=True,
    metavar="NAME=VALUE",
    help="value of a hyper-parameter, for every algorithm that has it or for one (finetune.lr=0.01)",
)
batch_format = click.option(
    "--batch-format",
    cls=GroupedOption,
    group="Algorithm options",
    help="batches that a file's loaders yield: tuples or kaggle [default: kaggle for .ipynb]",
)
originals = click.option(
    "--originals",
    cls=GroupedOption,
    group="Run options",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="number of original models, with N runs from each; the spread between them is shown",
)
fingerprint = click.option(
    "--benchmark",
    "fingerprint",
    metavar="FINGERPRINT",
    help="benchmark in the store, by the first digits of its fingerprint",
)
as_json = click.option("--json", "as_json", is_flag=True, help="print JSON instead of tables")
