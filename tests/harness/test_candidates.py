"""Candidates: users' files, what they ask for, and what is wrong with them; settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from algorithms import ALGORITHMS
from harness.candidate_file import SECRET, environment
from harness.candidates import Algorithm, built_in, find_algorithms, load_candidates, with_settings
from harness.errors import UserError
from harness.identity import sha256
from harness.sources import built_in_files, code, imported

HEAD = "def unlearning(net, retain, forget, validation"


@pytest.fixture
def write(tmp_path):
    """write(text, name): a user's file."""

    def make(text: str | bytes, name: str = "idea.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return make


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
    assert load(write(text + "# another line\n")).name != one.name


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
    path = write("from algorithms import forget_remember as unlearning")
    found = load(path)
    own = built_in("forget_remember", "tiny")
    assert found.hyper_parameters == own.hyper_parameters
    assert found.name.startswith("idea@") and list(found.files) == ["idea.py"]
    alone = sha256([["idea.py", sha256(path.read_bytes())]])
    assert found.source != alone  # our code is part of it


def test_the_source_of_a_file_that_imports_nothing_of_ours_is_the_file(write):
    path = write(f"import json\n{HEAD}): pass")
    assert load(path).source == sha256([["idea.py", sha256(path.read_bytes())]])


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


# --- settings ---


def algorithm(name: str = "idea@12345678", **hyper_parameters) -> Algorithm:
    return Algorithm(name, name, hyper_parameters, "source")


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (3, "5", 5),
        (0.1, "0.5", 0.5),
        (0.1, "1e-3", 1e-3),
        (0.1, "2", 2.0),
        ("cosine", "linear", "linear"),
        ("cosine", "'linear'", "linear"),
        ("a", "b=c", "b=c"),
        (True, "False", False),
        ([1, 2], "(3, 4)", [3, 4]),
        ([1, 2], "[3,4]", [3, 4]),
        ([1, 2], "3", [3]),
        ([1, 2], "3,4", [3, 4]),
        (None, "7", 7),
        (None, "(1, 2)", [1, 2]),
        (0.1, "None", None),
        ({"a": 1}, "{'a': 2}", {"a": 2}),
    ],
)
def test_a_setting_takes_the_kind_of_its_default(default, text, value):
    (found,) = with_settings([algorithm(x=default)], [f"x={text}"])
    assert found.hyper_parameters["x"] == value and type(found.hyper_parameters["x"]) is type(value)


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        ([1, 2], "1.0,2.0", [1, 2]),
        ([1, 2], "1.5,2", [1.5, 2]),
        ([0.1], "1,2", [1.0, 2.0]),
        ([0.1, 1], "1", [1.0]),
        ([True], "1, False", None),
        ([1, 2], "1,'x'", None),
        ([1, 2], "1,True", None),
        ([0.1], "None,", None),
        (["a"], "'b','c'", ["b", "c"]),
        (["a"], "'b',1", None),
        ([[1]], "[2],", [[2]]),
        ([[1]], "[2],3", None),
        ([], "1,2.0", [1, 2.0]),
    ],
)
def test_a_lists_elements_take_the_kind_of_its_defaults(default, text, value):
    if value is None:
        with pytest.raises(UserError, match=r"--set x=.* is a .*, but the default .* holds"):
            with_settings([algorithm(x=default)], [f"x={text}"])
        return
    (found,) = with_settings([algorithm(x=default)], [f"x={text}"])
    assert repr(found.hyper_parameters["x"]) == repr(value)


def test_settings_that_mean_the_same_have_one_bank():
    banks = [with_settings([algorithm(x=[1, 2])], [f"x={text}"])[0].bank for text in ("1,1", "1.0,1.0", "[1, 1.0]")]
    assert len(set(banks)) == 1


def test_a_list_of_whole_numbers_may_be_given_a_fraction():
    (found,) = with_settings([algorithm(x=[1, 5])], ["x=1,0.5"])
    assert found.hyper_parameters["x"] == [1, 0.5]
    with pytest.raises(UserError, match=r"x=1,'a': 'a' is a str, .* holds ints"):
        with_settings([algorithm(x=[1, 5])], ["x=1,'a'"])


@pytest.mark.parametrize("first_line", ["", "from __future__ import annotations"])
def test_a_whole_default_of_what_a_file_calls_a_float_may_be_set_to_a_fraction(write, first_line):
    plain = load(write(f"{first_line}\n{HEAD}, *, epochs: float = 3):\n    return net\n"))
    (half,), (whole,), (same,) = (with_settings([plain], [f"epochs={value}"]) for value in ("2.5", "4", "3.0"))
    assert half.hyper_parameters == {"epochs": 2.5} and half.bank != plain.bank
    assert type(whole.hyper_parameters["epochs"]) is int and same.bank == plain.bank
    with pytest.raises(UserError, match="'many' is a str, but the default 3 is a int"):
        with_settings([plain], ["epochs=many"])


def test_what_a_file_calls_a_whole_number_stays_one(write):
    with pytest.raises(UserError, match=r"2\.5 is a float, but the default 3 is a int"):
        with_settings([load(write(f"{HEAD}, *, epochs: int = 3):\n    return net\n"))], ["epochs=2.5"])


@pytest.mark.parametrize("name", sorted(n for n, f in ALGORITHMS.items() if f.__annotations__.get("epochs") is float))
def test_epochs_of_a_built_in_may_be_a_fraction_where_its_signature_says_float(name):
    plain = built_in(name, "a data set without presets")
    (half,) = with_settings([plain], ["epochs=2.5"])
    assert half.hyper_parameters["epochs"] == 2.5
    assert with_settings([plain], ["epochs=2.5", "epochs=4"]) == with_settings([plain], ["epochs=4.0"])
    assert with_settings([plain], [f"epochs={plain.hyper_parameters['epochs']}"])[0].bank == plain.bank


@pytest.mark.parametrize(
    ("default", "text"),
    [(3, "0.5"), (3, "three"), (0.1, "fast"), (True, "1"), (True, "yes"), (3, "True"), ("a", "3"), (0.1, "[0.1]")],
)
def test_a_setting_of_another_kind_is_refused(default, text):
    with pytest.raises(UserError, match=f"but the default {default!r} is a {type(default).__name__}"):
        with_settings([algorithm(x=default)], [f"x={text}"])


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1j", "b'x'", "{1, 2}", "{(1,): 2}", "[1e999]"])
def test_a_setting_that_is_no_plain_value_is_refused(text):
    with pytest.raises(UserError, match="--set x="):
        with_settings([algorithm(x=None)], [f"x={text}"])


@pytest.mark.parametrize("setting", ["lr", "=1", "", "idea.=1"])
def test_a_malformed_setting_is_refused(setting):
    with pytest.raises(UserError, match=r"write name=value or algorithm\.name=value"):
        with_settings([algorithm(lr=0.1)], [setting])


def test_a_setting_reaches_every_algorithm_that_has_it_and_leaves_the_others_as_they_are():
    one, two, three = algorithm("one", lr=0.1), algorithm("two", lr=0.2, epochs=1), algorithm("three", epochs=1)
    found = with_settings([one, two, three], ["lr=0.5"])
    assert [a.hyper_parameters for a in found] == [{"lr": 0.5}, {"lr": 0.5, "epochs": 1}, {"epochs": 1}]
    assert one.hyper_parameters == {"lr": 0.1}


@pytest.mark.parametrize("owner", ["idea", "idea@12345678"])
def test_a_setting_with_an_owner_reaches_that_one_alone(owner):
    found = with_settings([algorithm(lr=0.1), algorithm("finetune", lr=0.1)], [f"{owner}.lr=0.5"])
    assert [a.hyper_parameters["lr"] for a in found] == [0.5, 0.1]


def test_the_owner_may_have_a_dot_in_its_name_and_the_value_too():
    (found,) = with_settings([algorithm("idea.v2@12345678", lr=0.1)], ["idea.v2.lr=0.25"])
    assert found.hyper_parameters["lr"] == 0.25


def test_the_last_of_two_settings_holds():
    (found,) = with_settings([algorithm(lr=0.1)], ["lr=0.5", "lr=0.7"])
    assert found.hyper_parameters["lr"] == 0.7


@pytest.mark.parametrize("key", ["epoch", "idea.epoch"])
def test_an_unknown_hyper_parameter_is_refused_with_the_nearest(key):
    with pytest.raises(UserError, match=r"hyper-parameter 'epoch' is not known: choose from epochs, lr\..*'epochs'"):
        with_settings([algorithm(lr=0.1, epochs=1)], [f"{key}=3"])


def test_a_setting_for_an_algorithm_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no algorithm 'other' in this command"):
        with_settings([algorithm(lr=0.1)], ["other.lr=3"])


def test_a_setting_for_algorithms_without_hyper_parameters_is_refused():
    with pytest.raises(UserError, match="these algorithms have no hyper-parameters"):
        with_settings([algorithm()], ["lr=3"])


# --- built in ---


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_built_in_has_its_defaults_unless_a_preset_or_a_setting_says_otherwise(name):
    plain = built_in(name, "a data set without presets")
    preset = built_in(name, "digits")
    assert plain.source == preset.source and plain.files == {} and plain.function is ALGORITHMS[name]
    assert plain.hyper_parameters.keys() == preset.hyper_parameters.keys()
    assert built_in(name, "digits", {"lr": 0.125}).hyper_parameters == {**preset.hyper_parameters, "lr": 0.125}
    assert plain.from_scratch == (name == "retrain")


def test_presets_are_taken_for_their_data_set():
    assert built_in("finetune", "digits").hyper_parameters != built_in("finetune", "tiny").hyper_parameters


def test_an_unknown_built_in_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"algorithm 'finetunes' is not known.*FILE\.py.*mean 'finetune'"):
        built_in("finetunes", "digits")


def test_built_ins_of_different_files_have_different_sources():
    algorithms = [built_in(name, "digits") for name in ALGORITHMS]
    assert len({a.source for a in algorithms}) == len({built_in_files(name)[0] for name in ALGORITHMS})


def test_a_built_in_consists_of_its_file_and_what_that_imports():
    own, *others = (path.name for path in built_in_files("forget_remember"))
    assert own == "forget_remember.py" and "training.py" in others
    assert not {"finetune.py", "catalogue.py", "presets.py", "__init__.py"} & set(others)


def test_of_our_code_only_what_a_candidate_imports_is_its_source():
    names = [path.name for path in imported([b"from algorithms import finetune\nimport torch"])]
    assert names == ["finetune.py", "training.py"]
    assert [path.name for path in imported([b"def f():\n    import algorithms.training as t"])] == ["training.py"]
    assert len(imported([b"import algorithms"])) > 5 and imported([b"import os"]) == []


def test_a_preset_is_named_after_a_colon():
    kit = built_in("finetune:starting-kit", "digits")
    assert (kit.name, kit.method) == ("finetune:starting-kit", "finetune")
    assert kit.hyper_parameters["epochs"] == 5 and kit.hyper_parameters["lr"] == 0.1
    assert built_in("finetune:kaggle", "digits").hyper_parameters == built_in("finetune", "none").hyper_parameters
    assert built_in("finetune:small", "digits").hyper_parameters == built_in("finetune", "digits").hyper_parameters
    with pytest.raises(UserError, match="preset of finetune on digits"):
        built_in("finetune:smal", "digits")


def test_all_are_all_but_the_reference():
    names = [a.name for a in find_algorithms(["all"], [], "digits")]
    assert sorted([*names, "retrain"]) == sorted(ALGORITHMS)


def test_rewording_comments_and_docstrings_of_our_code_makes_no_new_source(write):
    plain = '"""A module."""\nX = 1\n\ndef f(x):\n    """Adds."""\n    y = x + 1\n    return y\n'
    reworded = (
        '"""Said otherwise."""\n\nX = 1  # one\ndef f(x):\n    """Adds\n\n    one."""\n'
        "    # so\n    y = (x + 1)\n    return y"
    )
    assert code(write(plain, "a.py")) == code(write(reworded, "b.py"))


@pytest.mark.parametrize(
    "change",
    [("x + 1", "x + 2"), ("X = 1", "X = 2"), ("(x)", "(x, z=3)"), ("return y", "return x"), ("'text'", "'word'")],
)
def test_changing_our_code_makes_a_new_source(write, change):
    plain = "X = 1\ndef f(x):\n    y = x + 1\n    print('text')\n    return y\n"
    assert code(write(plain, "a.py")) != code(write(plain.replace(*change), "b.py"))


def test_a_candidates_processes_do_not_get_credentials(monkeypatch):
    for prefix in SECRET:
        monkeypatch.setenv(f"{prefix}KEY", "secret")
    monkeypatch.setenv("HARMLESS", "1")
    found = environment()
    assert found["HARMLESS"] == "1" and "secret" not in found.values()
    assert set(SECRET) == {"AWS_", "AZURE_", "GOOGLE_", "FSSPEC_", "RAY_AUTH_"}
