"""Hashes an algorithm's code: a bank's key changes if the code does, not if comments or formatting do."""

from collections.abc import Iterable, Mapping
from typing import Any

from forget512.algorithms import ALGORITHMS, versions
from forget512.algorithms.code_hash import code_hash
from forget512.harness.errors import UserError, printable
from forget512.harness.hashing import sha256

ENCODINGS = ("utf-8", "latin-1")  # of a candidate's stored text


class Unreadable(Exception):
    """Raised if this version of Python cannot parse a candidate's text, so that its hash is unknown."""


def source_text(method: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return an algorithm's code: a candidate's files as text, and the versions of the modules that it imports.

    {"files": [[name, encoding, text], …], "algorithms": {module: version, …}}; the files are for people to read, and
    are never run from the store.
    """
    ours = versions.of_sources(files.values()) if files else versions.of_method(method) if method in ALGORITHMS else {}
    return {"files": [[name, *_decoded(data)] for name, data in files.items()], "algorithms": ours}


def source_hash(text: dict[str, Any]) -> str:
    """Compute an algorithm's `source` hash from its code.

    Raises:
        Unreadable: it has syntax that this version of Python cannot parse.
    """
    hashes = []
    for name, encoding, content in text["files"]:
        try:
            hashes.append([name, code_hash(content.encode(encoding))])
        except SyntaxError as error:
            why = f"this version of Python cannot parse {name} ({error.msg}), so its hash was not checked"
            raise Unreadable(printable(why)) from error
    return _hash(hashes, text["algorithms"])


def hash_of_files(files: Mapping[str, bytes]) -> str:
    """Compute the `source` hash of a candidate or a network from its files, by name.

    Raises:
        SyntaxError: one of them is not valid Python.
    """
    return _hash([[name, code_hash(data)] for name, data in files.items()], versions.of_sources(files.values()))


def hash_of_method(method: str) -> str:
    """Compute the `source` hash of a built-in method."""
    return sha256(versions.of_method(method))


def check_recorded(methods: Iterable[str], sources: Iterable[bytes]) -> None:
    """Refuse to run edited, unrecorded code: its runs would be saved as those of the recorded code.

    methods: built-in methods. sources: users' files, whose imports are checked.

    Raises:
        UserError: names the modules.
    """
    used = set(versions.of_sources(sources)).union(*map(versions.of_method, methods))
    if changed := versions.changed(used):
        raise UserError(
            f"the code of {', '.join(changed)} in algorithms/ differs from what versions.toml records: run `python -m "
            f"forget512.algorithms.record` if its results stay the same, else with --bump {' '.join(changed)}."
        )


def _hash(files: list[list[str]], modules: Mapping[str, int]) -> str:
    """Hash file hashes and module versions. files: [name, code hash] each, the one with the function first."""
    return sha256([files, modules] if files else modules)


def _decoded(data: bytes) -> tuple[str, str]:
    """Return the encoding and text of a file, from which its bytes can be restored."""
    try:
        return "utf-8", data.decode()
    except UnicodeDecodeError:
        return "latin-1", data.decode("latin-1")
