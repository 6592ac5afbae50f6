"""Lays out --help: commands in sections, and the options of a command in groups."""

from typing import Any

import click


class GroupedOption(click.Option):
    """An option that --help shows under the heading `group`."""

    def __init__(self, *names: Any, group: str, **settings: Any):
        super().__init__(*names, **settings)
        self.group = group


SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class GroupedCommand(click.Command):
    """A command whose --help groups its options; those without a group come first, under "Options"."""

    def __init__(self, name: str | None, **settings: Any):
        super().__init__(name, context_settings=SETTINGS, **settings)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option) and (line := option.get_help_record(ctx)):
                groups.setdefault(getattr(option, "group", "Options"), []).append(line)
        for heading, lines in groups.items():
            with formatter.section(heading):
                formatter.write_dl(lines)


class Section(click.Group):
    """The commands of one file; --help lists them under its name."""

    command_class = GroupedCommand


class Sections(click.CommandCollection):
    """All commands; --help lists them by section, in the order of their definition, one line each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, self.list_commands(ctx)))
        for section in self.sources:
            with formatter.section(section.name or ""):
                formatter.write_dl(
                    [
                        (name.ljust(longest), command.get_short_help_str(formatter.width - longest - 6))
                        for name, command in section.commands.items()
                    ]
                )
