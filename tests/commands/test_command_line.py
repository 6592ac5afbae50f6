"""The command line as a whole: its help, how it is started, completion in a shell, and options of the library."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from forget512 import evaluate
from forget512.harness.benchmark.options import BenchmarkOptions
from forget512.harness.cli.main import cli
from forget512.harness.cli.options import as_words
from forget512.harness.errors import UserError
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.workflows.options import RunOptions, ScoreOptions
from support.commands import ROOT

COMMANDS = [name for section in cli.sources for name in section.commands]
GROUPS = {
    "Benchmark options": BenchmarkOptions,
    "Run options": RunOptions,
    "Worker options": WorkerOptions,
    "Score options": ScoreOptions,
}
HEAVY = "{'torch', 'ray', 'numba'} & {name.partition('.')[0] for name in sys.modules}"


def started(*words, cwd, **environment):
    """A Python program with this checkout on its path, in another folder."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def help_of(*words):
    command, context = cli, click.Context(cli, info_name="forget512", **cli.context_settings)
    for word in words:
        command = cli.get_command(context, word)
        context = click.Context(command, parent=context, info_name=word)
    return command.get_help(context)


def sections(text):
    """{heading: lines below it} of a help text."""
    found, lines = {}, []
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            lines = found.setdefault(line[:-1], [])
        elif line.strip():
            lines.append(line.strip())
    return found


def test_help_lists_every_command_in_its_group_on_one_line():
    found = sections(help_of())
    assert [*found] == ["Options", "Score", "Tune and try", "Look", "Store", "Exchange"]
    lines = [line.split(maxsplit=1) for heading, below in found.items() if heading != "Options" for line in below]
    assert [name for name, _ in lines] == COMMANDS and len({*COMMANDS}) == 21
    assert all(text.endswith(".") and not text.endswith("...") for _, text in lines)  # whole in 80 columns


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_groups_the_options_that_it_shares(name):
    text = help_of(name)
    assert text.startswith(f"Usage: forget512 {name} ")
    found = sections(text)
    assert found["Options"][-1].startswith("-h, --help")
    for heading, kind in GROUPS.items():
        options = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)}
        shown = {word for line in found.get(heading, ()) if line.startswith("--") for word in line.split()[:1]}
        assert shown <= options | {"--originals"}
        for other in found.keys() - {heading}:
            stray = {line.split()[0] for line in found[other] if line.startswith("--")} & options
            assert stray <= {"--runs", "--store", "--partial"}  # some commands have another one of that name


def test_evaluate_takes_every_field_of_the_option_dataclasses():
    found = sections(help_of("evaluate"))
    for heading, kind in GROUPS.items():
        for field in dataclasses.fields(kind):
            assert any(line.split()[0] == f"--{field.name.replace('_', '-')}" for line in found[heading]), field.name


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["evaluate", "-h"], ["retry", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(tmp_path, words):
    code = f"import atexit, sys; atexit.register(lambda: print({HEAVY})); from forget512.__main__ import main; main()"
    done = started("-c", code, *words, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("set()\n"), done.stderr


def test_each_way_to_start_it_does_the_same_from_any_folder(tmp_path):
    ways = [["-m", "forget512"], [ROOT / "run_eval.py"]]
    for words, status in ((["--help"], 0), (["status", "--store", "nowhere"], 2), (["evaluat"], 2)):
        one, other = (started(*way, *words, cwd=tmp_path) for way in ways)
        assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
        assert one.returncode == status
        assert one.stdout.startswith("Usage: forget512 ") if status == 0 else one.stderr.startswith("forget512: ")


@pytest.mark.parametrize("way", [["-m", "forget512"], [ROOT / "run_eval.py"]], ids=["module", "file"])
def test_what_a_user_calls_scoring_harness_or_algorithms_disturbs_nothing(tmp_path, way):
    (tmp_path / "algorithms").mkdir()
    for name in ("scoring.py", "harness.py", "algorithms/__init__.py"):
        (tmp_path / name).write_text("raise RuntimeError('the wrong module')\n")
    np.savez(tmp_path / "a.npz", confidences=np.random.default_rng(0).random((16, 8)))
    listed = started(*way, "algorithms", cwd=tmp_path)
    assert listed.returncode == 0 and "finetune" in listed.stdout, listed.stderr
    scored = started(*way, "score", "--retrained", "a.npz", "--unlearned", "a.npz", cwd=tmp_path)
    assert scored.returncode == 0 and "F" in scored.stdout, scored.stderr


def completed(tmp_path, *words):
    """What a shell is offered for the last of these words, and the heavy modules that it waited for."""
    code = (
        f"import atexit, sys; atexit.register(lambda: print({HEAVY}, file=sys.stderr)); "
        "from forget512.__main__ import main; main()"
    )
    done = started(
        "-c",
        code,
        cwd=tmp_path,
        _FORGET512_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(["forget512", *words]),
        COMP_CWORD=str(len(words)),
    )
    return done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ev"], ["plain,evaluate"]),
        (["evaluate", "--forget-g"], ["plain,--forget-groups"]),
        (["verify", "x"], ["file,x"]),
    ],
)
def test_a_shell_completes_commands_options_and_files_without_a_heavy_import(tmp_path, words, offered):
    assert completed(tmp_path, *words) == (offered, "set()\n")


def test_a_shell_completes_names_of_algorithms(tmp_path):
    assert completed(tmp_path, "evaluate", "forget_rem")[0] == [
        "file,forget_rem",
        "plain,forget_remember",
        "plain,forget_remember_2",
    ]


def test_the_lines_in_the_documents_turn_completion_on(tmp_path):
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    for shell in ("bash", "zsh", "fish"):
        assert f"_FORGET512_COMPLETE={shell}_source forget512" in page
    done = started("-m", "forget512", cwd=tmp_path, _FORGET512_COMPLETE="zsh_source")
    assert done.returncode == 0 and done.stdout.startswith("#compdef forget512")


def test_options_are_written_again_as_far_as_they_differ_from_their_defaults():
    given = BenchmarkOptions(epochs=1, data_dir=Path("data"), recipe=Path("my recipe.toml"))
    assert as_words(given) == ["--epochs", "1", "--recipe", "my recipe.toml"]


def test_an_unknown_option_of_evaluate_is_one_clear_error():
    with pytest.raises(UserError, match=r"^evaluate: option 'rnus' is not known: .* Did you mean 'runs'\?$"):
        evaluate("finetune", rnus=8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "exakt"}, "--mode 'exakt' is not known.*Did you mean 'exact'"),
        ({"run_timeout": 0}, "--run-timeout 0: give a number of seconds above 0"),
    ],
)
def test_options_mean_the_same_in_the_library(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        evaluate("finetune", store=tmp_path, **options)
