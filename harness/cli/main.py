"""The command line: `forget512 COMMAND`. Imports stay light here; commands import what they need when they run."""

import sys

import click

from forget512.harness.cli import exchange, look, score, store, tune
from forget512.harness.cli.help import SETTINGS, Sections
from forget512.harness.cli.messages import complain
from forget512.harness.errors import UserError
from forget512.harness.scheduling.signals import Terminated, heed_sigterm

PROGRAM = "forget512"

cli = Sections(
    PROGRAM,
    sources=[module.commands for module in (score, tune, look, store, exchange)],
    context_settings=SETTINGS,
    help="Score machine-unlearning algorithms by distributions: N unlearned networks against N retrained ones.",
)


def main() -> None:
    """Run the command line. Exit status: 0 success, 1 runs failed, 2 error, 130 interrupted, 143 terminated."""
    heed_sigterm()
    try:
        status = cli(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        status = 2
    except (UserError, click.ClickException) as error:
        complain(error.format_message() if isinstance(error, click.ClickException) else str(error))
        status = 2
    except OSError as error:
        what = f"{error.filename or 'output'}: {error.strerror or error or type(error).__name__}"
        complain(f"{what}; finished runs are saved.")
        status = 2
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted. Finished runs are saved; rerun the command to continue.")
        status = 130
    except Terminated:
        complain("terminated. Finished runs are saved; rerun the command to continue.")
        status = 143
    sys.stdout.flush()
    sys.exit(status or 0)
