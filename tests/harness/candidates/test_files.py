"""Candidates: users' files, what they ask for, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from forget512.algorithms import versions
from forget512.algorithms.code_hash import code_hash
from forget512.harness.candidates.algorithm import Algorithm
from forget512.harness.candidates.built_in import built_in
from forget512.harness.candidates.files import load_candidates
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.errors import UserError
from forget512.harness.hashing import sha256
from forget512.harness.isolation.environment import SECRET, environment

HEAD = "def unlearning(net, retain, forget, validation"


def load(path: Path) -> Algorithm:
    return load_candidates([path])[0]


def refusal(path: Path, *parts: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path))
    for part in parts:
        assert part in line
    return line


# --- files that are taken ---


def test_a_candidate_is_named_by_its_file_and_the_hash_of_its_source(write):
    path = write(f"{HEAD}):\n    return net\n")
    found = load(path)
    assert found.name == f"idea@{found.source[:8]}"
    assert found.files == {"idea.py": path.read_bytes()} and found.folder == str(path.parent)
    assert found.hyper_parameters == {} and not found.from_scratch


def test_the_name_depends_on_the_text_alone(write):
    text = f"{HEAD}):\n    return net\n"
    one, other = load(write(text)), load(write(text, "elsewhere/idea.py"))
    assert one.name == other.name
    assert load(write(text + "    net = None\n")).name != one.name


def test_formatting_comments_and_docstrings_change_neither_name_nor_bank(write):
    one = load(write(f"{HEAD}, lr=1e-3):\n    return net\n"))
    text = f'"""An idea."""\n\n{HEAD},\n  lr = 0.001):  # usual\n  """Unlearn."""\n\n  return (net)'
    other = load(write(text))
    assert (other.name, other.bank) == (one.name, one.bank) and other.files["idea.py"] == text.encode()


def test_another_name_of_ours_is_another_candidate_and_its_place_is_not(write):
    text = "from forget512.algorithms.literature.freeze import {} as unlearning\n"
    one, other = load(write(text.format("eu_k"))), load(write(text.format("cf_k")))
    assert one.source != other.source
    assert load(write("from forget512.algorithms import eu_k as unlearning\n")).bank == one.bank


def test_keyword_defaults_are_the_hyper_parameters(write):
    found = load(
        write(f"{HEAD}, epochs=3, *, lr=1e-3, layers=(1, 2), name='cosine', flag=True, nothing=None, rest=[[1]]): pass")
    )
    assert found.hyper_parameters == {
        "epochs": 3,
        "lr": 1e-3,
        "layers": [1, 2],
        "name": "cosine",
        "flag": True,
        "nothing": None,
        "rest": [[1]],
    }


def test_defaults_that_are_objects_stay_out_of_reach(write):
    found = load(write(f"{HEAD}, loss=print, kinds=frozenset(), nan=float('nan'), lr=0.1): pass"))
    assert found.hyper_parameters == {"lr": 0.1}


@pytest.mark.parametrize(
    "text",
    [
        "def unlearning(net, retain_loader, forget_loader, val_loader): pass",
        "def unlearning(*args): pass",
        f"{HEAD}, **options): pass",
        "unlearning = lambda net, retain, forget, validation: net",
        "class Method:\n    def __call__(self, a, b, c, d): pass\nunlearning = Method()",
        "from functools import partial\ndef f(lr, a, b, c, d): pass\nunlearning = partial(f, 0.1)",
        "import sys\nfrom dataclasses import dataclass\n@dataclass\nclass C:\n    a: int = 1\n" + f"{HEAD}): pass",
        "if __name__ == '__main__':\n    raise SystemExit\n" + f"{HEAD}): pass",
    ],
)
def test_whatever_takes_four_arguments_will_do(write, text):
    assert load(write(text)).hyper_parameters == {}


def test_keyword_defaults_behind_collected_loaders_are_hyper_parameters_too(write):
    assert load(write("def unlearning(net, *loaders, lr=0.1): pass")).hyper_parameters == {"lr": 0.1}


@pytest.mark.parametrize("name", ["my idea.py", "idea-2.v1.py", "random.py", "ünïcode.py", "retrain.py"])
def test_a_file_may_have_any_name(write, name):
    found = load(write("import random\n" + f"{HEAD}): pass", name))
    assert found.name.startswith(Path(name).stem + "@") and not found.from_scratch


def test_a_helper_beside_the_file_belongs_to_the_candidate(write):
    path = write(f"from helper import step\nimport pack.inner\n{HEAD}): step(net)")
    write("def step(net): pass", "helper.py")
    write("", "pack/__init__.py")
    write("", "pack/inner.py")
    write("", "unused.py")
    found = load(path)
    assert list(found.files) == ["idea.py", "helper.py", "pack/__init__.py", "pack/inner.py"]
    assert found.files["helper.py"] == b"def step(net): pass"
    write("def step(net): return 1", "helper.py")
    assert load(path).name != found.name
    write("def step(net): pass", "helper.py")
    write("nobody reads this", "unused.py")
    assert load(path).name == found.name


@pytest.mark.parametrize(
    ("lazy", "helper"),
    [
        ("from helper import step", "helper.py"),
        ("import pack.helper as h", "pack/helper.py"),
        ("from pack import helper", "pack/helper.py"),
        ("import middle", "helper.py"),  # which imports it, in a function too
    ],
)
def test_a_helper_that_is_imported_late_belongs_to_the_candidate_too(write, lazy, helper):
    path = write(f"{HEAD}):\n    {lazy}\n")
    write("def f():\n    from helper import step", "middle.py")
    write("step = 1", helper)
    found = load(path)
    assert helper in found.files and ("middle.py" in found.files) == ("middle" in lazy)
    write("step = 2", helper)
    assert load(path).bank != found.bank


def test_a_late_helper_of_a_package_is_found_from_there(write):
    path = write(f"import pack\n{HEAD}): pass")
    write("def f():\n    from . import inner\n    from .other import x", "pack/__init__.py")
    write("", "pack/inner.py")
    write("from ......away import y", "pack/other.py")
    assert list(load(path).files) == ["idea.py", "pack/__init__.py", "pack/inner.py", "pack/other.py"]


def test_a_late_import_of_a_module_that_is_loaded_from_elsewhere_brings_no_file_along(write):
    path = write(f"{HEAD}):\n    import json, sys")
    for name in ("json.py", "sys.py", "unused.py", "__init__.py"):
        write("", name)
    assert list(load(path).files) == ["idea.py"]


def test_a_late_helper_that_is_no_python_is_refused_with_its_line(write):
    write("x = 1\nx = = 2", "helper.py")
    refusal(write(f"{HEAD}):\n    import helper"), "SyntaxError", "(helper.py, line 2)")


def test_an_algorithm_of_ours_may_be_the_candidate(write):
    path = write("from forget512.algorithms import forget_remember as unlearning")
    found = load(path)
    own = built_in("forget_remember", "tiny")
    assert found.hyper_parameters == own.hyper_parameters
    assert found.name.startswith("idea@") and list(found.files) == ["idea.py"]
    ours = versions.of_method("forget_remember")
    assert found.source == sha256([[["idea.py", code_hash(path.read_bytes())]], ours])


def test_the_source_of_a_file_that_imports_nothing_of_ours_is_the_file(write):
    path = write(f"import json\n{HEAD}): pass")
    assert load(path).source == sha256([[["idea.py", code_hash(path.read_bytes())]], {}])


def test_printing_at_import_does_no_harm(write):
    noise = "import sys\nprint('hello', end='')\nprint('x' * 200_000)\nprint('no', file=sys.stderr)\n"
    assert load(write(noise + f"{HEAD}, lr=1): pass")).hyper_parameters == {"lr": 1}


def test_bytes_that_are_no_text_at_import_do_no_harm(write):
    noise = (
        "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe')\nsys.stdout.flush()\nsys.stderr.buffer.write(b'\\xff')\n"
    )
    assert load(write(noise + f"{HEAD}, lr=1): pass")).hyper_parameters == {"lr": 1}


def test_a_thread_left_at_import_does_not_hold_us_up(write):
    noise = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
    assert load(write(noise + f"{HEAD}, lr=1): pass")).hyper_parameters == {"lr": 1}


def test_several_files_are_loaded_in_the_order_given(write):
    paths = [write(f"{HEAD}, lr={i}): pass", f"idea{i}.py") for i in range(3)]
    assert [a.hyper_parameters["lr"] for a in load_candidates(paths)] == [0, 1, 2]


def test_built_in_names_and_files_may_be_mixed(write):
    path = write(f"{HEAD}): pass")
    found = find_algorithms(["finetune", str(path), "forget_remember"], ["epochs=2", "finetune.lr=1"], "tiny")
    assert [a.name.split("@")[0] for a in found] == ["finetune", "idea", "forget_remember"]
    assert found[0].hyper_parameters["lr"] == 1.0 and found[2].hyper_parameters["lr"] == [0.001]
    assert found[0].hyper_parameters["epochs"] == 2 and found[2].hyper_parameters["epochs"] == [2]


# --- files that are refused ---


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"idea\.py does not exist: .*finetune"):
        load(tmp_path / "idea.py")


def test_a_file_without_unlearning_is_told_what_it_defines(write):
    refusal(write("def unlearn(a, b): pass\ndef main(): pass"), "no function `unlearning(net", "defines unlearn, main")


def test_an_empty_file_is_refused(write):
    refusal(write(""), "no function `unlearning(net, retain, forget, validation)`")


def test_an_unlearning_that_cannot_be_called_is_refused(write):
    refusal(write("unlearning = 3"), "no function `unlearning")


@pytest.mark.parametrize(
    "signature",
    ["net, retain, forget", "net, retain, forget, validation, lr", "net, retain, forget, validation, *, lr"],
)
def test_another_signature_is_refused_and_shown(write, signature):
    refusal(
        write(f"def unlearning({signature}): pass"), f"`unlearning({signature})`", "(net, retain, forget, validation)"
    )


def test_an_error_at_import_is_told_with_its_line(write):
    line = refusal(write("x = 1\n\ny = x / 0\n"), "ZeroDivisionError: division by zero (idea.py, line 3)")
    assert "harness" not in line and "candidate_file" not in line


def test_an_error_in_a_helper_is_told_with_the_helpers_line(write):
    write("\nraise KeyError('gone')", "helper.py")
    refusal(write("import helper"), "KeyError: 'gone' (helper.py, line 2)")


def test_an_error_deep_in_a_library_is_told_with_the_users_line(write):
    refusal(write("import json\n\njson.loads('{')"), "JSONDecodeError", "(idea.py, line 3)")


def test_an_error_of_many_lines_is_told_in_one(write):
    refusal(write("raise ValueError('first\\nsecond')"), "ValueError: first (idea.py, line 1)")


def test_a_missing_module_is_named(write):
    refusal(write("import no_such_module_512"), "No module named 'no_such_module_512' (idea.py, line 1)")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = 1\ndef unlearning(:\n", "SyntaxError"),
        ("def unlearning():\nreturn\n", "IndentationError"),
        (b"x = 1\n\xff\n", "SyntaxError"),
    ],
)
def test_a_syntax_error_is_told_with_its_line(write, text, what):
    refusal(write(text), what, "(idea.py, line 2)")


def test_a_null_byte_is_refused(write):
    refusal(write(b"x = 1\n\0\n"), "null bytes")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import sys\nsys.exit(3)", "SystemExit: 3 (idea.py, line 2)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (idea.py, line 1)"),
        ("import os\nos._exit(0)", "ended the process that imported it"),
        ("import os, sys\nprint('last words', file=sys.stderr, flush=True)\nos._exit(1)", "it: last words"),
        ("import os\nos.kill(os.getpid(), 9)", "ended the process that imported it"),
        ("import ctypes\nctypes.string_at(0)", "ended the process that imported it"),
    ],
)
def test_a_file_that_ends_its_process_costs_nothing_but_itself(write, text, what):
    refusal(write(text), what)


def test_no_file_is_imported_into_our_process(write):
    import os
    import sys

    write("", "helper512.py")
    load(write(f"import os, helper512\nos.environ['FORGET512_TEST'] = '1'\n{HEAD}): pass"))
    assert "FORGET512_TEST" not in os.environ and "helper512" not in sys.modules


def test_a_candidates_processes_do_not_get_credentials(monkeypatch):
    for prefix in SECRET:
        monkeypatch.setenv(f"{prefix}KEY", "secret")
    monkeypatch.setenv("HARMLESS", "1")
    found = environment()
    assert found["HARMLESS"] == "1" and "secret" not in found.values()
    assert set(SECRET) == {"AWS_", "AZURE_", "GOOGLE_", "FSSPEC_", "RAY_AUTH_"}
