"""Extracts `unlearning` and the code that it needs from a notebook. No other code of the notebook is run.

It keeps imports, functions, classes and assignments that define a name which `unlearning` uses, directly or
indirectly, also inside an `if` or `try`, and all imports of `*`. It replaces loops, `with` blocks, calls, magics and
everything else by `pass`: for example, the competition's loop over 512 checkpoints, its zip file and its data set.
"""

import ast
import builtins
import re
import symtable
from collections.abc import Iterable, Sequence
from pathlib import Path

from forget512.harness.candidates.user_file import CELL, ENTRY
from forget512.harness.errors import UserError, first_line

MAGIC = re.compile(r"^(\s*)([!%?].*|[\w.]+\?+|[\w ,]+=\s*[!%].*)$", re.MULTILINE)
PYTHON_CELLS = ("time", "timeit", "capture", "prun")  # cell magics whose cells hold Python
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def extract(path: Path) -> str:
    """Extract the Python source of `unlearning` and the code that it needs, cell by cell, each below its number.

    Lines keep their numbers within a cell.

    Raises:
        UserError: not a notebook, no function `unlearning`, a cell that is not valid Python, or a name that it needs is
            defined by a statement that is not run.
    """
    texts = enumerate(_code_cells(path), start=1)
    cells = {number: _parse(path, number, text) for number, text in texts if text.strip()}
    everything = [statement for _, body in cells.values() for statement in body]
    needed: set[str] = {ENTRY}
    known = 0
    while len(needed) > known:
        known = len(needed)
        kept, dropped = _sift(everything, needed)
        needed |= _names(kept)
    if not any(isinstance(part, Definition | ast.Assign) and ENTRY in _bound(part) for part in kept):
        functions = [s.name for s in everything if isinstance(s, ast.FunctionDef)]
        raise UserError(
            f"{path} has no function `{ENTRY}(net, retain_loader, forget_loader, val_loader)` in its code cells"
            + (f"; they define {', '.join(functions[:5])}." if functions else ".")
        )
    _check_bound(path, needed, kept, dropped)
    parts = []
    for number, (text, body) in cells.items():
        kept, dropped = _sift(body, needed)
        if kept:
            parts.append(f"{CELL}{number}\n{_without(text, dropped)}\n")
    return "".join(parts)


def _code_cells(path: Path) -> list[str]:
    import nbformat  # which few commands need

    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        return [cell.source.replace("\r\n", "\n") for cell in notebook.cells if cell.cell_type == "code"]
    except Exception as error:  # nbformat, json and jsonschema each have their own types
        raise UserError(f"{path} cannot be read as a notebook: {first_line(error)}.") from error


def _parse(path: Path, number: int, text: str) -> tuple[str, list[ast.stmt]]:
    """Parse a cell as Python, without its magics; return its text and its statements."""
    for source in (text, _without_magics(text)):
        try:
            return source, ast.parse(source).body
        except (SyntaxError, ValueError) as error:
            problem = error
    line = f", line {problem.lineno}" if isinstance(problem, SyntaxError) else ""
    raise UserError(f"{path}, code cell {number}{line}: {type(problem).__name__}: {getattr(problem, 'msg', problem)}.")


def _without_magics(text: str) -> str:
    name = re.match(r"\s*%%(\w+)", text)
    if name and name[1] not in PYTHON_CELLS:
        return ""  # %%bash, %%writefile, …
    return MAGIC.sub(r"\1pass", text)


def _sift(statements: Iterable[ast.stmt], needed: set[str]) -> tuple[list[ast.AST], list[ast.stmt]]:
    """Split statements into kept and dropped ones; the condition of a kept `if` or `try` is kept too."""
    kept: list[ast.AST] = []
    dropped: list[ast.stmt] = []
    for statement in statements:
        inside = [_sift(block, needed) for block in _blocks(statement)]
        if any(found for found, _ in inside):
            kept += _conditions(statement)
            kept += [part for found, _ in inside for part in found]
            dropped += [part for _, rest in inside for part in rest]
        elif _bound(statement) & (needed | {"*"}):
            kept.append(statement)
        else:
            dropped.append(statement)
    return kept, dropped


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    match statement:
        case ast.If():
            return [statement.body, statement.orelse]
        case ast.Try() | ast.TryStar():
            handlers = [handler.body for handler in statement.handlers]
            return [statement.body, *handlers, statement.orelse, statement.finalbody]
    return []


def _conditions(statement: ast.stmt) -> list[ast.AST]:
    if isinstance(statement, ast.If):
        return [statement.test]
    return [handler.type for handler in getattr(statement, "handlers", []) if handler.type]


def _bound(statement: ast.AST) -> set[str]:
    """Return the names that an import, a definition or an assignment binds; for `a.b[0] = 1` the name a."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Assign():
            return {name for target in statement.targets for name in _roots(target)}
        case ast.AnnAssign() | ast.AugAssign():
            return _roots(statement.target)
    return set()


def _roots(target: ast.expr) -> set[str]:
    match target:
        case ast.Name():
            return {target.id}
        case ast.Attribute() | ast.Subscript() | ast.Starred():
            return _roots(target.value)
        case ast.Tuple() | ast.List():
            return {name for element in target.elts for name in _roots(element)}
    return set()


def _names(parts: Sequence[ast.AST]) -> set[str]:
    """Return the module's names that these statements use, also inside functions and classes."""
    waiting = [symtable.symtable(ast.unparse(part), "cell", "exec") for part in parts]
    found = set()
    while waiting:
        table = waiting.pop()
        outermost = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if outermost or s.is_global()}
        waiting += table.get_children()
    return found


def _check_bound(path: Path, needed: set[str], kept: Sequence[ast.AST], dropped: Sequence[ast.stmt]) -> None:
    """Refuse a notebook where a needed name would be undefined or have another value than in the notebook."""
    known = {name for part in kept for name in _bound(part)}
    modules = {name for part in kept if isinstance(part, ast.Import | ast.ImportFrom) for name in _bound(part)}
    own = {name for part in kept if not isinstance(part, ast.Import | ast.ImportFrom) for name in _bound(part)}
    unsure = {"*"} & known
    for statement in dropped:
        lost = sorted(_changed(statement) & needed - (modules - own) - (set(vars(builtins)) - known))
        if lost and (lost[0] in known or not unsure):
            kinds = {ast.For: "a `for` block", ast.While: "a `while` block", ast.With: "a `with` block"}
            what = kinds.get(type(statement), f"`{ast.unparse(statement).splitlines()[0]}`")
            raise UserError(
                f"{path}: `{ENTRY}` needs {lost[0]!r}, which {what} outside any function "
                f"{'changes' if lost[0] in known else 'defines'}: such statements are not run. "
                "Use an assignment, or move the statement into a function."
            )


def _changed(statement: ast.stmt) -> set[str]:
    """Return the module's names that a statement binds, stores into, deletes, or calls a method of."""
    found: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Definition):
            found |= {node.name}
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.comprehension):
            waiting += [node.iter, *node.ifs]  # its variable is its own
            continue
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                found |= _roots(node)
            case ast.Call(func=ast.Attribute(value=value)):
                found |= _roots(value)
        waiting += ast.iter_child_nodes(node)
    return found


def _without(text: str, dropped: Sequence[ast.stmt]) -> str:
    """Replace the dropped statements of a cell by `pass`; all lines keep their numbers."""
    lines = [line.encode() for line in text.split("\n")]  # ast counts columns in bytes of UTF-8
    for statement in sorted(dropped, key=lambda s: (s.lineno, s.col_offset), reverse=True):
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(d.lineno for d in decorators)]) - 1
        assert statement.end_lineno and statement.end_col_offset is not None
        last = statement.end_lineno - 1
        lines[first] = lines[first][: statement.col_offset] + b"pass" + lines[last][statement.end_col_offset :]
        lines[first + 1 : last + 1] = [b""] * (last - first)
    return b"\n".join(lines).decode()
