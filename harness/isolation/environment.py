"""Starts processes that run users' code with one thread, a fixed hash seed, no credentials and this forget512."""

import os
import sys
from pathlib import Path

CODE = Path(__file__).resolve().parents[2]  # the folder that contains harness/, algorithms/ and scoring/
ROOT = CODE if (CODE / "forget512").is_dir() else CODE.parent  # the folder from which forget512 is imported

# One thread, and the same iteration order of sets in every process.
SETTINGS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}

# Prefixes of variables that commands may read, but not the code that they score, since its output is saved.
SECRET = ("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_", "RAY_AUTH_")


def environment() -> dict[str, str]:
    """Return the environment for a process that runs a user's code: this one's with SETTINGS, without credentials."""
    open_to_all = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
    return {**open_to_all, **SETTINGS}


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of forget512 as a program.

    It imports this forget512, whichever version is installed. Its parent folder then moves to the end of the path, so
    that a user's own module `scoring` comes first. The current folder is not on the path (-P).
    """
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); import forget512; sys.path.append(sys.path.pop(0)); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-P", "-c", code, *map(str, arguments)]


def drop_secrets() -> None:
    """Remove credentials from the environment of this process, which is about to run a user's code itself."""
    for name in [name for name in os.environ if name.startswith(SECRET)]:
        del os.environ[name]


def settle() -> None:
    """Restart this process with SETTINGS, which Python reads at its start; does nothing under a debugger."""
    as_given = sys.argv[1:] == sys.orig_argv[len(sys.orig_argv) - len(sys.argv) + 1 :]
    debugged = sys.gettrace() is not None or "debugpy" in sys.modules
    if as_given and not debugged and any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **SETTINGS})
