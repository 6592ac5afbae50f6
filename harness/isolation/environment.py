"""The environment of processes that run a user's code: one thread, no credentials, a fixed hash seed."""

import os
import sys
from pathlib import Path

import forget512

ROOT = Path(forget512.__file__).resolve().parent.parent  # the folder from which forget512 is imported
CODE = Path(__file__).resolve().parents[2]  # the folder of harness/, algorithms/ and scoring/


# One thread, and a set's order the same in every process.
SETTINGS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


# What a command may know and the code that it scores may not: what that prints is kept with its record.
SECRET = ("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_", "RAY_AUTH_")  # the names of variables begin so


def environment() -> dict[str, str]:
    """For processes of ours that run a user's code: the settings above, no credentials."""
    open_to_all = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
    return {**open_to_all, **SETTINGS}


def python(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of ours as a program.

    It imports this forget512, whatever else is installed. Then the folder that holds it goes to the end of the path:
    what the user has under a name of ours (`scoring`) comes first. The current folder is not on the path (-P).
    """
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); import forget512; sys.path.append(sys.path.pop(0)); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-P", "-c", code, *map(str, arguments)]


def drop_secrets() -> None:
    """The same in this process, which is about to run a user's code itself."""
    for name in [name for name in os.environ if name.startswith(SECRET)]:
        del os.environ[name]


def settle() -> None:
    """Begin this process anew under these settings, which Python reads at its start; not under a debugger."""
    as_given = sys.argv[1:] == sys.orig_argv[len(sys.orig_argv) - len(sys.argv) + 1 :]
    debugged = sys.gettrace() is not None or "debugpy" in sys.modules
    if as_given and not debugged and any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **SETTINGS})
