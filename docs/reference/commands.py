"""Hook of mkdocs: writes the --help of every command into command-line.md."""

import logging
from collections.abc import Iterator
from typing import Any

import click

from forget512.harness.cli.main import PROGRAM, cli

# griffe warns that it cannot list the names of forget512.algorithms, which come from the catalogue; no page needs them.
logging.getLogger("mkdocs.plugins.griffe").addFilter(
    lambda record: "forget512.algorithms.__all__" not in record.getMessage()
)

HERE = "<!-- the help of every command -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marker; mkdocs calls this for each page."""
    return markdown.replace(HERE, "\n".join(commands()))


def commands() -> Iterator[str]:
    """A heading and the help text of the program and of each of its commands."""
    program = _context(cli, PROGRAM)
    yield _section(program)
    for name in cli.list_commands(program):
        command = cli.get_command(program, name)
        assert command is not None
        yield _section(_context(command, f"{PROGRAM} {name}"))


def _context(command: click.Command, name: str) -> click.Context:
    return click.Context(command, info_name=name, **{**command.context_settings, "terminal_width": 100})


def _section(context: click.Context) -> str:
    return f"## {context.info_name}\n\n```text\n{context.get_help()}\n```\n"
