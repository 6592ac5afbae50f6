"""Options that several commands share; most are generated from the fields of the option dataclasses."""

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
    """Return a decorator that turns fields of the dataclass `kind` into options and passes the command one `kind`.

    parameter: the command's parameter that receives it. group: heading of the options in --help. Call the decorator
    with the names of the fields to use; without names it uses all.
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
    """Return the name of a field's option."""
    return f"--{field.name.replace('_', '-')}"


def _option(field: Field, annotation: Any, group: str) -> Callable:
    """Make an option from a field. Its type is the annotated one; of several types, a path is preferred."""
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
    """List the options of an option dataclass that the current command line sets: ["--epochs"]."""
    source = click.get_current_context().get_parameter_source
    return [flag(field) for field in fields(kind) if source(field.name) is click.core.ParameterSource.COMMANDLINE]


def as_words(options: Any) -> list[str]:
    """Write the options that differ from their defaults as command-line words."""
    return [
        word
        for field in fields(options)
        if (value := str(getattr(options, field.name))) != str(field.default)  # a path may be a string
        for word in (flag(field), value)
    ]


def complete_algorithms(ctx: click.Context, param: click.Parameter, incomplete: str) -> Sequence[CompletionItem]:
    """Complete names of built-in algorithms for the shell, or files if no name matches."""
    from forget512.algorithms import ALGORITHMS

    names = [name for name in ALGORITHMS if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *map(CompletionItem, names)]


def algorithms(required: bool = True) -> Callable:
    """Return the argument ALGORITHM …, completed by `complete_algorithms`."""
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
    help="value of a hyper-parameter, for every algorithm that has it, or for one (finetune.lr=0.01)",
)
batch_format = click.option(
    "--batch-format",
    cls=GroupedOption,
    group="Algorithm options",
    help="format of the batches that a user's file gets: tuples or kaggle [default: kaggle for .ipynb]",
)
originals = click.option(
    "--originals",
    cls=GroupedOption,
    group="Run options",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="number of original models; N runs start from each, and the spread between them is shown",
)
fingerprint = click.option(
    "--benchmark",
    "fingerprint",
    metavar="FINGERPRINT",
    help="benchmark in the store, by the first digits of its fingerprint",
)
as_json = click.option("--json", "as_json", is_flag=True, help="print JSON instead of tables")
