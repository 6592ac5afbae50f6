"""Inspects a candidate's file in a separate process, and reports what an evaluation needs as JSON.

No command imports a user's file itself. This module, run as a program, imports it (for a notebook, the code extracted
from it, read from standard input) and reports its hyper-parameters and the files that it imports. It imports little
before, to recognise the modules that the file loads.
"""

import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

from forget512.harness.candidates.user_file import (
    ENTRY,
    LOADERS,
    defaults,
    describe_error,
    fractional,
    import_file,
    own_files,
)

REPORT = "forget512-candidate "


def _report(path: Path, source: bytes | None) -> dict[str, Any]:
    folder = path.parent
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        module = import_file(path, source)
    except BaseException as error:  # a user's file may raise anything, SystemExit included
        return {"error": f"cannot be imported: {describe_error(error, str(folder))}"}
    function = getattr(module, ENTRY, None)
    if not callable(function):
        functions = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        return {
            "error": f"has no function `{ENTRY}(net, retain, forget, validation)`"
            + (f"; it defines {', '.join(functions[:5])}" if functions else "")
        }
    try:
        inspect.signature(function).bind(*range(LOADERS))
    except TypeError as error:
        return {
            "error": f"`{ENTRY}{inspect.signature(function)}` cannot be called with (net, retain, forget, "
            f"validation): {error}; give every further parameter a default"
        }
    try:
        files = [path.name, *own_files(path, path.read_bytes() if source is None else source, before)]
    except (SyntaxError, ValueError) as error:
        return {"error": f"cannot be imported: {describe_error(error, str(folder))}"}
    return {"defaults": defaults(function), "fractional": fractional(function), "files": files}


if __name__ == "__main__":
    # The report comes last and is marked, so that output of the file's import is not mistaken for it.
    file = Path(sys.argv[1]).resolve()
    extracted = sys.stdin.buffer.read() if file.suffix == ".ipynb" else None
    print(f"\n{REPORT}{json.dumps(_report(file, extracted))}", flush=True)
    os._exit(0)  # without waiting for threads that the file started
