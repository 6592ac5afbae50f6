"""The Python interpreters of this machine that forget512 supports."""

import shutil
import subprocess
from pathlib import Path


def interpreters() -> list[str]:
    """One of each version from 3.11 on, on the path or pyenv's."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    found = {name: path for name in names if (path := shutil.which(name))}  # pyenv's may be shims that run nothing
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip()
        found |= {path.name: str(path) for name in names for path in Path(root).glob(f"versions/*/bin/{name}")}
    return list(found.values())
