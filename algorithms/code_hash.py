"""Computes the canonical hash of Python code, which changes with the code, not with its comments or formatting.

The hash is of the syntax tree: node types and fields, without positions, comments, docstrings and empty fields. It is
the same under every version of Python and in every locale. Imports of forget512's own modules count without the
module's path, and consecutive ones without their order: moving a module changes no hash, but importing another name
from it does.

This file needs only the standard library.
"""

import ast
import hashlib
import json
import warnings
from collections.abc import Iterator
from typing import Any

PACKAGE = "forget512"
FOLDERS = ("baselines", "competition", "literature", "tools")  # an import from one of these imports a module
LARGEST = 10_000_000  # bytes of a file; a larger one could be made to exhaust the memory
IGNORED = ("kind", "type_comment", "type_ignores")  # fields: u"" for "", and comments
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(source: bytes) -> str:
    """Return the SHA-256 of a file's code, as 64 hex digits. source: the file's bytes, which Python decodes.

    Raises:
        SyntaxError: this version of Python cannot parse it.
    """
    digest = hashlib.sha256()
    for token in _tokens(parse(source)):
        digest.update(f"{token}\n".encode())
    return digest.hexdigest()


def parse(source: bytes) -> ast.Module:
    """Parse a file's bytes. Raises SyntaxError for every kind of error."""
    if len(source) > LARGEST:
        raise SyntaxError(f"it has more than {LARGEST:,} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of escapes such as "\d"
            return ast.parse(source)
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or code nested too deeply for the parser
        raise SyntaxError(str(error) or type(error).__name__) from error


def own_imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """List all imports of forget512's modules: (full name of the import, name that it is bound to).

    `from forget512.algorithms import ssd as s` gives ("forget512.algorithms.ssd", "s").
    """
    for node in ast.walk(tree):
        yield from _own(node)


def _own(node: Any) -> list[tuple[str, str]]:
    """List what one statement imports of forget512."""
    if isinstance(node, ast.Import):
        return [(alias.name, alias.asname or PACKAGE) for alias in node.names if _is_own(alias.name)]
    if isinstance(node, ast.ImportFrom) and not node.level and _is_own(node.module or ""):
        return [(f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names]
    return []


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


class _Mark(str):
    """Punctuation between the tokens of a tree."""


_END = _Mark("")


def _tokens(tree: ast.AST) -> Iterator[str]:
    """Write the tree from top to bottom as lines of ASCII, from which it could be rebuilt."""
    waiting: list[Any] = [tree]  # a stack, since generated code may be nested too deeply for recursion
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Mark):
            yield item
        elif isinstance(item, ast.Constant):
            yield f"Constant {_plain(item.value)}"
        elif isinstance(item, ast.AST):
            waiting.append(_Mark(")"))
            for name, value in sorted(_fields(item).items(), reverse=True):
                waiting += [value, _Mark(f"{name}=")]
            waiting.append(_Mark(f"{type(item).__name__}("))
        elif isinstance(item, list):
            waiting += [_Mark("]"), *reversed(item), _Mark("[")]
        else:
            yield _plain(item)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        text = json.dumps(value)
    elif isinstance(value, bytes | float):
        text = value.hex()
    elif isinstance(value, complex):
        text = f"{value.real.hex()} {value.imag.hex()}"
    elif type(value) is int:
        text = hex(value)  # Python limits decimal digits
    else:
        text = repr(value)  # True, False, None, Ellipsis
    return f"{type(value).__name__} {text}"


def _fields(node: ast.AST) -> dict[str, Any]:
    """Yield the fields of a node that affect the hash."""
    fields = {name: value for name, value in ast.iter_fields(node) if name not in IGNORED}
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    if isinstance(node, ast.JoinedStr):
        fields["values"] = _joined(node.values)
    if isinstance(node, ast.FormattedValue) and node.format_spec and not _fields(node.format_spec):
        del fields["format_spec"]  # f"{x:}"
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = _with_plain_imports(value)
    return {name: value for name, value in fields.items() if value is not None and value != []}


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Merge the constant parts of an f-string, which Python versions split differently, some with empty parts."""
    found: list[ast.expr] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(str(last.value) + str(part.value))
        elif not isinstance(part, ast.Constant) or part.value:
            found.append(part)
    return found


def _with_plain_imports(items: list[Any]) -> list[Any]:
    """Replace consecutive imports of forget512's modules by one sorted text.

    The text has [name, name that it is bound to, whether it is a module] for each.
    """
    found: list[Any] = []
    run: list[tuple[str, str, bool]] = []
    for item in [*items, _END]:
        own = _own(item)
        for name, bound in own:
            folder, _, last = name.rpartition(".")
            run.append((last, bound, isinstance(item, ast.Import) or folder.rpartition(".")[2] in FOLDERS))
        others = _others(item) if own else [item]
        if others:
            if run:  # the order matters only if a name is bound twice
                bindings = [bound for _, bound, _ in run]
                found.append(json.dumps(sorted(run) if len(set(bindings)) == len(bindings) else run))
                run = []
            found += others
    return found[:-1]


def _others(item: ast.Import | ast.ImportFrom) -> list[ast.Import]:
    """Return a statement without its imports of forget512."""
    others = [alias for alias in item.names if not _is_own(alias.name)] if isinstance(item, ast.Import) else []
    return [ast.Import(others)] if others else []
