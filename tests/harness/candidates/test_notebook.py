"""Candidates from notebooks: `unlearning` and what it needs is taken, nothing else is run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from forget512.harness.candidates.files import load_candidates
from forget512.harness.candidates.notebook import extract
from forget512.harness.errors import UserError
from forget512.harness.store.bank import Bank
from forget512.harness.worker.examine import load_strictly
from forget512.harness.worker.fork_client import ChildFailed
from forget512.harness.worker.seeds import Seeds
from forget512.harness.worker.unlearn import fresh_network
from support.tiny import ServerFromOriginal

FIXTURE = Path(__file__).parents[2] / "fixtures" / "competition.ipynb"  # in the form of the competition's own
HEAD = "def unlearning(net, retain_loader, forget_loader, val_loader"
Notebook = Callable[..., Path]


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    """notebook(cell, cell, …): a file with these code cells, a text before each."""

    def make(*cells: str, name: str = "idea.ipynb") -> Path:
        path = tmp_path / name
        content = [each for text in cells for each in (new_markdown_cell("# some text"), new_code_cell(text))]
        path.write_text(writes(new_notebook(cells=content)))
        return path

    return make


@pytest.fixture(scope="module")
def server(training, original) -> Iterator[ServerFromOriginal]:
    server = ServerFromOriginal(training, original, "cpu")
    yield server
    server.close()


def run(path: Path) -> dict:
    """What the extracted source defines."""
    found: dict = {}
    exec(extract(path), found)
    return found


def refusal(path: Path, *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        load_candidates([path])
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path))
    for part in parts:
        assert part in line


# --- what is taken ---


def test_a_competition_notebook_gives_its_function_and_what_that_needs():
    source = extract(FIXTURE)
    for needed in ("import copy", "DEVICE = ", "class CFG", "CFG.lr = 0.005", "def kd_loss", "def unlearning"):
        assert needed in source
    for left_out in ("!pip", "%%time", "pandas", "tqdm", "raise", "HiddenDataset", "os.makedirs", "512", "torch.save"):
        assert left_out not in source


def test_nothing_but_definitions_is_run(notebook, tmp_path):
    traces = [tmp_path / f"trace-{number}" for number in range(8)]
    t = [f"open({str(trace)!r}, 'w').close()" for trace in traces]
    found = run(
        notebook(
            f"from pathlib import Path\n{t[0]}; RATE = 0.5; {t[1]}",
            f"for i in range(3):\n    {t[2]}\nwith open('/dev/null') as file:\n    {t[3]}",
            f"if RATE:\n    {t[4]}\nelse:\n    STEPS = 3\n    {t[5]}\ndef unused():\n    pass\n{t[6]}",
            f"{HEAD}): return RATE\nnet = {t[7]}",
        )
    )
    assert found["unlearning"](1, 2, 3, 4) == 0.5
    assert not any(trace.exists() for trace in traces)
    assert "unused" not in found and "net" not in found and "STEPS" not in found


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        (["A = 1", "B = A + 1", f"{HEAD}): return B"], 2),
        (["A = 1", f"{HEAD}): return A", "A += 4"], 5),
        ([f"{HEAD}): return step()", "def step(): return inner()", "inner = lambda: K", "K: int = 7"], 7),
        (["(A, [B]), *C = (1, [2]), 3", f"{HEAD}): return A + B + C[0]"], 6),
        (["settings = {}", "settings['lr'] = 0.1", f"{HEAD}): return settings['lr']"], 0.1),
        (["K = 3\nclass Base:\n    x = K\nclass Net(Base):\n    pass", f"{HEAD}): return Net.x"], 3),
        (["def twice(f):\n    return lambda *a: 2 * f(*a)", f"@twice\n{HEAD}): return 4"], 8),
        (["from math import *", f"{HEAD}): return floor(2.5)"], 2),
        (["try:\n    import no_such_module as m\nexcept ImportError:\n    m = None", f"{HEAD}): return m"], None),
        (["D = 5", f"{HEAD}, lr=D): return lr"], 5),
        (["D = [1, 2]", f"{HEAD}): return [d * E for d in D][1]", "E = 3"], 6),
        (["FLAG = False", f"if FLAG:\n    A = 1\nelif not FLAG:\n    A = 2\n{HEAD}): return A"], 2),
        (["import os\nif os.path.exists('/nowhere'):\n    print(1)\nelse:\n    A = 9", f"{HEAD}): return A"], 9),
        (["if True:\n    pass\nelif 1 / 0:\n    print()", f"{HEAD}): return 1"], 1),
        ([f"{HEAD}): return 1", f"{HEAD}): return 2"], 2),
        (["x = 'ünï'; A = 'é'; print(x)", f"{HEAD}): return A"], "é"),
        (
            [
                "%%timeit\nA = 1",
                "%%bash\nrm -r nothing",
                "?print\nprint?\nfiles = !ls\nB = 1",
                f"{HEAD}): return A + B",
            ],
            2,
        ),
        (["A = (5\n% 3)", f"{HEAD}): return A"], 2),
    ],
)
def test_what_the_function_needs_comes_along(notebook, cells, value):
    assert run(notebook(*cells))["unlearning"](1, 2, 3, 4) == value


def test_outputs_and_the_submission_loops_text_make_no_other_candidate(notebook):
    path = notebook("A = 1", f"{HEAD}): return net", "for i in range(512):\n    print(i)")
    name = load_candidates([path])[0].name
    content = json.loads(path.read_text())
    content["cells"][1] |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": ["1"]}]}
    content["cells"][5]["source"] = "for i in range(3):\n    print('changed')"
    path.write_text(json.dumps(content))
    assert load_candidates([path])[0].name == name
    content["cells"][3]["source"] = f"{HEAD}): return None"
    path.write_text(json.dumps(content))
    assert load_candidates([path])[0].name != name


# --- what is wrong with it ---


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["def unlearn(net): pass", "x = 1"], "has no function `unlearning(net, retain_loader, forget_loader, val_"),
        (["def unlearn(net): pass"], "they define unlearn"),
        ([], "has no function `unlearning"),
        (["x = 1", "\ndef unlearning(:"], "code cell 2, line 2: SyntaxError: invalid syntax"),
        (["for K in range(3): pass", f"{HEAD}): return K"], "needs 'K', which a `for` block"),
        (
            ["import no_such_module", f"{HEAD}): no_such_module.f()"],
            "_module' (idea.ipynb, code cell 1, line 1)",
        ),
        (["def unlearning(net): pass"], "cannot be called with (net, retain, forget, validation)"),
        (["x = 1 / 0", f"{HEAD}): return x"], "ZeroDivisionError: division by zero (idea.ipynb, code cell 1, line 1)"),
    ],
)
def test_a_notebook_without_a_usable_function_is_one_line(notebook, cells, said):
    refusal(notebook(*cells), said)


@pytest.mark.parametrize(
    ("before", "dropped", "said"),
    [
        (
            "cfg = []",
            "for i in range(3):\n    cfg.append(i)",
            "'cfg', which a `for` block outside any",
        ),
        ("cfg = {}", "cfg.update(lr=5)", "'cfg', which `cfg.update(lr=5)` outside any function changes"),
        ("cfg = {}", "for k in 'ab':\n    cfg[k] = 1", "'cfg', which a `for` block"),
        ("class cfg: pass", "with open('x') as f:\n    cfg.lr = f.read()", "'cfg', which a `with` block"),
        ("cfg = [1]", "while cfg[0] < 9:\n    cfg[0] += 1", "'cfg', which a `while` block"),
        ("cfg = 1", "for cfg in range(3): pass", "'cfg', which a `for` block"),
        ("cfg = [[]]", "cfg[0].append(1)", "'cfg', which `cfg[0].append(1)`"),
        ("cfg = [1]", "del cfg[0]", "'cfg', which `del cfg[0]`"),
    ],
)
def test_a_statement_that_is_not_run_and_changes_what_is_needed_is_one_line(notebook, before, dropped, said):
    refusal(notebook(before, dropped, f"{HEAD}): return cfg"), f"`unlearning` needs {said}")


@pytest.mark.parametrize(
    "dropped",
    [
        "import torch, numpy as np\nnp.random.seed(0)\ntorch.manual_seed(3)",
        "print(cfg[0], [cfg for cfg in range(3)])",
        "for i in range(3):\n    print(unlearning, cfg, len(cfg))",
        "other = 1\nfor k in 'ab':\n    print(other.upper())",
        "for x in range(3):\n    f = lambda: cfg.append(1)",
    ],
)
def test_a_statement_that_is_not_run_and_changes_nothing_needed_does_no_harm(notebook, dropped):
    path = notebook("import numpy as np", "cfg = [5]", dropped, f"{HEAD}): return np.int64(cfg[0])")
    assert run(path)["unlearning"](1, 2, 3, 4) == 5


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no json", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}', "\0"])
def test_a_file_that_is_no_notebook_is_one_line(tmp_path, text):
    path = tmp_path / "idea.ipynb"
    path.write_text(text)
    refusal(path)


# --- running it ---


def test_a_competition_notebook_runs_as_it_is(server, training):
    """Dict batches, its own DataLoader over the data set, a deep copy of the network, `.to(DEVICE)`."""
    algorithm = load_candidates([FIXTURE])[0]
    assert algorithm.batch_format == "kaggle"
    state, *_ = server.run(algorithm, Seeds("bank", 0))
    other, *_ = server.run(algorithm, Seeds("bank", 1))
    again, *_ = server.run(algorithm, Seeds("bank", 0))
    net = fresh_network(training, "cpu")
    load_strictly(net, state)
    assert all(state[name].equal(again[name]) for name in state)
    assert not state["fc.weight"].equal(other["fc.weight"])


def test_a_file_gets_dicts_when_asked_and_its_own_settings_alone(server, candidate):
    body = """
assert lr == 0.1
for sample in retain: assert sample["age_class"].dtype is torch.int64
from forget512.algorithms import finetune
return finetune(net, retain, forget, validation)"""
    algorithm = candidate(body, head="import torch", parameters=", lr=0.1")
    state, *_ = server.run(dataclasses.replace(algorithm, batch_format="kaggle"), Seeds("bank", 0))
    assert "conv1.weight" in state


def test_its_errors_name_the_cell_and_the_line(server, notebook):
    path = notebook("import torch", "A = 1\n\n\n" + f"{HEAD}):\n    for sample in retain_loader:\n        sample[0]")
    with pytest.raises(ChildFailed) as caught:
        server.run(load_candidates([path])[0], Seeds("bank", 0))
    assert str(caught.value) == "KeyError: 0 (idea.ipynb, code cell 2, line 6)"
    assert "sample[0]" in caught.value.traceback


def test_the_batch_format_is_part_of_a_banks_identity_only_where_it_is_unusual(notebook, benchmark, store, tmp_path):
    path = tmp_path / "idea.py"
    path.write_text(f"{HEAD}): pass")
    plain, said, kaggle = (load_candidates([path], batch_format)[0] for batch_format in (None, "tuples", "kaggle"))
    assert plain == said and plain.bank != kaggle.bank and plain.name == kaggle.name
    assert kaggle.hyper_parameters == {}
    banks = [Bank(store, benchmark, algorithm, "0" * 64) for algorithm in (plain, kaggle)]
    assert set(banks[0].identity) == {"benchmark", "algorithm", "hyper_parameters", "source", "original"}
    assert banks[1].identity == {**banks[0].identity, "batch_format": "kaggle"}
    assert load_candidates([notebook(f"{HEAD}): pass")], "tuples")[0].batch_format == "tuples"
    with pytest.raises(UserError, match="--batch-format 'kagle' is not known"):
        load_candidates([path], "kagle")
