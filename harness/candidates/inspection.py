"""Inspects a candidate's file in a process of its own, and reports what an evaluation needs to know as JSON.

No command imports a user's file itself: this module, run as a program, does so (with what was extracted of a notebook
as its input) and reports the hyper-parameters and the files that it brought along. Little is imported before it, so
that the modules that it loads can be recognised.
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
    # Whatever the file prints on import must not be taken for the report: it comes last, marked.
    file = Path(sys.argv[1]).resolve()
    extracted = sys.stdin.buffer.read() if file.suffix == ".ipynb" else None
    print(f"\n{REPORT}{json.dumps(_report(file, extracted))}", flush=True)
    os._exit(0)  # without waiting for threads that the file started
