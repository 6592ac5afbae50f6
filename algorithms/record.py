"""Record the code of algorithms/ in versions.toml: `python -m forget512.algorithms.record [--bump MODULE …]`.

Banks are named by the versions of the modules that their method imports, not by the modules' text. After changing a
module, decide which of these applies, and commit versions.toml with the change:

- The results stay the same (another name, a clearer expression, a better message): run the command without options. It
  records the new code under the old version, and banks keep their names.
- The results change: give the module's name to --bump. This increases its version and changes the name of every bank of
  a method that uses the module, so their runs are repeated.

Comments, docstrings, formatting, the order of imports and a file's folder do not count. A new module gets version 1;
the line of a removed module is deleted. While versions.toml does not match the code, a test fails, and commands refuse
to run the methods concerned.

To add a method: write FOLDER/NAME.py with the function, its hyper-parameters as keyword-only arguments whose defaults
are constants; add the entry [NAME] to FOLDER/catalogue.toml (catalogue.py explains the fields); run this command.
"""

import argparse
from collections.abc import Collection, Mapping

from forget512.algorithms import versions
from forget512.algorithms.code_hash import code_hash
from forget512.algorithms.versions import Recorded

HEAD = "# Written by `python -m forget512.algorithms.record`, not by hand.\n"


def record(
    recorded: Mapping[str, Recorded], hashes: Mapping[str, str], bump: Collection[str] = ()
) -> tuple[dict[str, Recorded], list[str]]:
    """Return the new record of each module, and a line for each change.

    recorded: the present record. hashes: of the present code. bump: modules whose version increases
    """
    new, lines = {}, []
    for name in sorted(hashes):
        old = recorded.get(name)
        if old is None:
            new[name] = Recorded(1, hashes[name])
            lines.append(f"{name}: new, version 1.")
        elif name in bump:
            new[name] = Recorded(old.version + 1, hashes[name])
            lines.append(f"{name}: version {old.version} is now version {old.version + 1}.")
        else:
            new[name] = Recorded(old.version, hashes[name])
            if new[name] != old:
                lines.append(f"{name}: its code changed, version {old.version} stays: its results must be the same.")
    return new, [*lines, *(f"{name}: removed." for name in sorted(recorded.keys() - hashes.keys()))]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m forget512.algorithms.record",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bump", nargs="+", metavar="MODULE", default=[], help="modules whose results change")
    bump = parser.parse_args().bump
    hashes = {name: code_hash(path.read_bytes()) for name, path in versions.files().items()}
    unknown = [name for name in bump if name not in hashes]
    if unknown:
        parser.error(f"--bump {unknown[0]}: there is no such module; give one of {', '.join(sorted(hashes))}.")
    new, lines = record(versions.recorded() if versions.FILE.exists() else {}, hashes, bump)
    text = [f'{name} = {{ version = {each.version}, code = "{each.code}" }}\n' for name, each in new.items()]
    versions.FILE.write_text("".join([HEAD, *text]), "utf-8")
    print("\n".join(lines) or "Nothing has changed.")


if __name__ == "__main__":
    main()
