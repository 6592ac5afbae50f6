"""The folder for outside programs: complete, without the test set, and without anything of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load

from forget512.harness.benchmark import networks
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.errors import UserError
from forget512.harness.exchange.split import SOURCES, check_out, write_split
from forget512.harness.worker.unlearn import fresh_network
from support.commands import command

OUTSIDE = """
import sys, torch
import load_split
retain, forget, validation = load_split.loaders(7)
net = load_split.original().eval()
sets = load_split.datasets()
inputs, targets = next(iter(retain))
assert inputs.shape[1:] == (1, 8, 8) and inputs.dtype == torch.float32 and targets.dtype == torch.int64
with torch.inference_mode():
    torch.save(net(sets["forget"].tensors[0]), "forget_logits.pt")
load_split.save(net, 3)
assert not [name for name in sys.modules if name.split(".")[0] in ("forget512", "harness", "algorithms", "scoring")]
"""


@pytest.fixture
def out(tmp_path, benchmark, original):
    write_split(tmp_path / "split", benchmark, original, "--epochs 2")
    return tmp_path / "split"


def test_an_outside_program_reads_it_and_gets_the_networks_own_logits(out, benchmark, original, training, unlearner):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (out / "outside.py").write_text(OUTSIDE)
    process = subprocess.run(
        [sys.executable, "outside.py"], cwd=out, env=environment, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    net = fresh_network(training, torch.device("cpu"))
    net.load_state_dict(load(original))
    inputs, _ = unlearner.images["forget"].batch(slice(None))
    with torch.inference_mode():
        logits = net.eval()(inputs)
    torch.testing.assert_close(torch.load(out / "forget_logits.pt"), logits, rtol=1e-4, atol=1e-5)
    saved = load((out / "checkpoints" / "00003.safetensors").read_bytes())
    assert all(saved[name].equal(value) for name, value in load(original).items())


def test_it_holds_the_training_part_and_nothing_of_the_test_set(out, benchmark, original):
    part = benchmark.training_part
    with np.load(out / "data.npz") as arrays:
        for name in ("retain", "forget", "validation"):
            assert np.array_equal(arrays[f"{name}_images"], getattr(part, name).x)
            assert np.array_equal(arrays[f"{name}_targets"], getattr(part, name).y)
        assert np.array_equal(arrays["forget_indices"], benchmark.split.forget)
        assert not [name for name in arrays if "test" in name] and len(arrays.files) == 8
    about = json.loads((out / "benchmark.json").read_text())
    assert about["fingerprint"] == benchmark.fingerprint and about["recipe"]["epochs"] == 2
    assert about["recipe"]["optimizer"] == "sgd" and about["recipe"]["mirror"] == 0.5
    assert (out / "original.safetensors").read_bytes() == original
    assert "--as my-method --epochs 2" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    "text",
    ["", "optimizer = 'adamw'\nlr = 1e-3\nmirror = 0.25", "schedule = 'steps'\nmilestones = [1, 2.5]\npadding = 1"],
)
def test_the_recipe_in_its_readme_is_a_recipe_file_of_the_same_benchmark(out, tiny_npz, original, tmp_path, text):
    mine, theirs = tmp_path / "mine.toml", tmp_path / "theirs.toml"
    mine.write_text(text)
    benchmark = make_benchmark(str(tiny_npz), recipe=mine)
    write_split(tmp_path / "other", benchmark, original)
    _, told, _ = (tmp_path / "other" / "README.md").read_text().split("```", 2)
    theirs.write_text(told.removeprefix("toml\n"))
    assert make_benchmark(str(tiny_npz), recipe=theirs).fingerprint == benchmark.fingerprint


@pytest.mark.parametrize("model", networks.MODELS)
def test_every_architecture_can_go_along(make_tiny, original, tmp_path, model):
    benchmark = make_tiny(model=model)
    write_split(tmp_path / "split", benchmark, original)
    found: dict = {}
    exec((tmp_path / "split" / "model.py").read_text(), found)
    torch.manual_seed(0)
    theirs = found["build"]().eval()
    torch.manual_seed(0)
    ours = networks.build(model, 3, (8, 8, 1)).eval()
    inputs = torch.randn(2, 1, 8, 8)
    with torch.inference_mode():
        assert theirs(inputs).equal(ours(inputs))


def test_an_architecture_that_cannot_go_along_is_one_line(benchmark, original, tmp_path, monkeypatch):
    monkeypatch.delitem(SOURCES, benchmark.model)
    with pytest.raises(UserError, match="split: --model 'resnet8-thin' is not known"):
        write_split(tmp_path / "split", benchmark, original)


def test_a_folder_that_is_not_empty_is_left_as_it_is(out, benchmark, original, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    for taken in (out, out / "README.md"):
        with pytest.raises(UserError, match="is not empty: give a new folder"):
            write_split(taken, benchmark, original)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (tmp_path / "empty").mkdir()
    write_split(tmp_path / "empty", benchmark, original)


def test_a_network_of_the_users_goes_along(tmp_path, make_tiny):
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\n\n\ndef make(classes, shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))\n"
    )
    benchmark = make_tiny(model=f"{tmp_path / 'my_net.py'}:make")
    write_split(tmp_path / "split", benchmark, b"")
    code = "import model; print([tuple(p.shape) for p in model.build().parameters()])"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "split", capture_output=True, text=True)
    assert found.stdout.strip() == "[(3, 64), (3,)]", found.stderr


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("my-net.py", "", "my-net.py is not a valid module name"),
        ("class.py", "", "class.py is not a valid module name"),
        (
            "my_net.py",
            "from forget512.algorithms import training\n",
            r"my_net.py imports from forget512.s algorithms/ \(layout, training\), which an outside program does not",
        ),
    ],
)
def test_a_network_that_could_not_be_imported_there_is_refused(tmp_path, make_tiny, name, head, said):
    (tmp_path / name).write_text(
        f"{head}from torch import nn\ndef make(classes, shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))\n"
    )
    benchmark = make_tiny(model=f"{tmp_path / name}:make")
    with pytest.raises(UserError, match=said):
        check_out(tmp_path / "split", benchmark)


def test_the_original_model_may_be_a_file(monkeypatch, capsys, tmp_path):
    benchmark = make_benchmark("digits")
    net = fresh_network(benchmark.training_part, torch.device("cpu"))
    torch.save({"state_dict": net.state_dict()}, tmp_path / "mine.pt")
    given = "--original", tmp_path / "mine.pt", "--store", tmp_path / "store", "--device", "cpu"
    status, _, err = command(monkeypatch, capsys, "split", "--out", tmp_path / "split", *given)
    assert status == 0, err
    found = load((tmp_path / "split" / "original.safetensors").read_bytes())
    assert all(found[name].equal(value) for name, value in net.state_dict().items())
    assert "--original" not in (tmp_path / "split" / "README.md").read_text()
    status, shown, err = command(monkeypatch, capsys, "plan", "finetune", "--runs", 2, "--originals", 2, *given[2:])
    assert status == 0 and "original model 2 of 2" in shown, err
    status, _, err = command(monkeypatch, capsys, "plan", "finetune", "--originals", 2, *given)
    assert status == 2 and "both choose where unlearning starts" in err
