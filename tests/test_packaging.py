"""What leaves the checkout: the wheel, and the folder of links by which mypy sees the package as a wheel has it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("forget512", "harness", "algorithms", "scoring")

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path, **environment: str) -> str:
    """The output of a command that succeeds; standard error belongs to it."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the code, to be changed at will."""
    folder = tmp_path / "checkout"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Makefile", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_a_wheel_has_all_of_the_code_inside_forget512_and_works_from_any_folder(checkout, tmp_path):
    files = [path.relative_to(checkout) for name in FOLDERS for path in (checkout / name).rglob("*") if path.is_file()]
    expected = {str(path) if path.parts[0] == "forget512" else f"forget512/{path}" for path in files}
    assert "forget512/py.typed" in expected  # PEP 561: it covers the packages inside forget512 as well
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    here = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []  # else pip fetches setuptools
    run(*pip, "wheel", "--no-deps", *here, "--wheel-dir", tmp_path, ".", cwd=checkout)
    (wheel,) = tmp_path.glob("*.whl")
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == expected

    installed, away = tmp_path / "installed", tmp_path / "away"
    run(*pip, "install", "--no-deps", "--target", installed, wheel, cwd=tmp_path)
    away.mkdir()
    python = {"cwd": away, "PYTHONPATH": str(installed)}
    show = (
        "import forget512\n"
        "from forget512.harness.isolation.environment import ROOT\n"
        "from forget512.scoring import score\n"
        "print(forget512.__file__, ROOT, score.__code__.co_filename, sep='\\n')"
    )
    places = [installed / "forget512/__init__.py", installed, installed / "forget512/scoring/score.py"]
    assert run(sys.executable, "-c", show, **python).splitlines() == [str(path) for path in places]
    assert "finetune" in run(sys.executable, "-m", "forget512", "algorithms", **python)
    assert "evaluate" in run(sys.executable, installed / "bin" / "forget512", "--help", **python)
    rng = np.random.default_rng(0)
    for name in ("retrained", "unlearned"):
        np.savez(away / f"{name}.npz", confidences=rng.normal(size=(8, 3)))
    arguments = ["--retrained", "retrained.npz", "--unlearned", "unlearned.npz"]
    assert '"score"' in run(sys.executable, "-m", "forget512", "score", "--json", *arguments, **python)
    (away / "idea.py").write_text("def unlearning(net, retain, forget, validation, lr=0.5):\n    return net\n")
    read = "from pathlib import Path; from forget512.harness.candidates.files import load_candidates as load\n"
    read += "print(load([Path('idea.py')])[0].hyper_parameters)"
    assert run(sys.executable, "-c", read, **python) == "{'lr': 0.5}\n"


def test_mypy_follows_imports_from_one_folder_to_another(checkout):
    recipe = (checkout / "Makefile").read_text().partition("\nlinks:")[2].partition("\n\n")[0]
    links = [line.strip() for line in recipe.splitlines() if line.startswith(("\tmkdir", "\tln"))]
    run("sh", "-ec", "\n".join(links).replace("$(CURDIR)", str(checkout)), cwd=checkout)
    planted = "from forget512.scoring.errors import ScoringError\n\nproblem: int = ScoringError('planted')\n"
    (checkout / "harness" / "planted.py").write_text(planted)
    mypy = [sys.executable, "-m", "mypy", "-m", "forget512.harness.planted"]
    done = subprocess.run(mypy, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'planted.py:3: error: Incompatible types in assignment (expression has type "ScoringError"' in done.stdout
