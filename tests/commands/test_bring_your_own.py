"""A user's own network, original model, recipe, data and groups, through the commands."""

import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from forget512.harness.store.record import decode
from support.commands import command, finished_records, rows, run_cli

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "scores.schema.json").read_text())
NETWORK = """
from torch import nn
from my_parts import block

def build(classes, input_shape):
    return nn.Sequential(block(input_shape[0], 8), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes))
"""
PARTS = """
from torch import nn

class Block(nn.Sequential):
    pass

def block(channels, width):
    return Block(nn.Conv2d(channels, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU())
"""
IDEA = """
import torch
import torch.nn.functional as F
from my_parts import Block

def unlearning(net, retain, forget, validation):
    print("blocks:", sum(isinstance(module, Block) for module in net.modules()))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    net.train()
    for inputs, targets in retain:
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
"""


@pytest.fixture
def mine(tmp_path):
    """A folder with a user's files."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in (
        ("my_net.py", NETWORK),
        ("my_parts.py", PARTS),
        ("idea.py", IDEA),
        ("recipe.toml", "epochs = 1\nbatch_size = 32\n"),
        ("persons.csv", "index,group\n" + "".join(f"{i},p{i % 20}\n" for i in range(1437))),
    ):
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "none.py:build"], "none.py does not exist"),
        (["--recipe", "none.toml"], "--recipe none.toml does not exist"),
        (["--forget-groups", "none.csv"], "--forget-groups none.csv does not exist"),
        (["--image-size", 32], "only the images of a folder"),
        (["--original", "none.pt"], "--original none.pt does not exist"),
        (["--original", "none.pt", "--originals", 3], "give one of them"),
        (["--originals", 2, "--stop-when-decided"], "leave it out with --originals"),
        (["--originals", 0], "'--originals'"),
    ],
)
def test_a_mistake_in_what_a_user_brings_is_one_line(refused, arguments, said):
    assert said in refused("evaluate", "finetune", *arguments)


def test_try_refuses_with_one_line_and_fails_with_status_1(refused, monkeypatch, capsys, tmp_path):
    assert "does not exist" in refused("try", "none.py")
    assert "Missing argument" in refused("try")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    status, out, err = command(monkeypatch, capsys, "try", tmp_path / "broken.py", "--store", tmp_path / "store")
    assert (status, out) == (1, "")
    assert err.startswith("Traceback") and err.endswith("No module named 'no_such_module' (broken.py, line 1).\n")


@pytest.mark.slow
def test_a_users_network_recipe_groups_and_candidate_are_evaluated_together(mine, tmp_path):
    options = ["--model", f"{mine}/my_net.py:build", "--recipe", mine / "recipe.toml"]
    options += ["--forget-groups", f"{mine}/persons.csv:p3,p7", "--store", tmp_path / "store", "--actors", 2]
    process = run_cli("evaluate", mine / "idea.py", "finetune", *options, "--runs", 2, "--json")
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    jsonschema.validate(answer, SCHEMA)
    assert answer["benchmark"]["model"]["name"] == "my_net:build" and answer["benchmark"]["recipe"]["batch_size"] == 32
    assert answer["benchmark"]["split"]["forget"]["examples"] == 144
    assert rows(process)["idea"]["runs"] == rows(process)["finetune"]["runs"] == 2
    outputs = {decode(p.read_bytes()).output for p in finished_records(tmp_path / "store") if "idea" in str(p)}
    assert outputs == {"blocks: 1\n"}  # the candidate's Block is the network's
    (mine / "other").mkdir()
    (mine / "other" / "idea.py").write_text(IDEA)
    (mine / "other" / "my_parts.py").write_text(PARTS + "# another\n")
    clash = run_cli("evaluate", mine / "other" / "idea.py", *options, "--runs", 2)
    assert clash.returncode == 2 and "each bring a file my_parts.py, and they differ" in clash.stderr


@pytest.mark.slow
def test_several_originals_and_one_of_them_from_a_file(tmp_path):
    store = tmp_path / "store"
    arguments = ["evaluate", "finetune", "--epochs", 1, "--runs", 8, "--store", store, "--actors", 2]
    process = run_cli(*arguments, "--originals", 2, "--json")
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    jsonschema.validate(answer, SCHEMA)
    (spread,) = answer["spread"]
    assert len(set(spread["scores"])) == 2 and spread["mean"] == pytest.approx(np.mean(spread["scores"]))
    assert spread["between"] == pytest.approx(np.std(spread["scores"], ddof=1)) and spread["runs"] > 0
    assert len(finished_records(store)) == 8 + 2 * 8  # one reference for both
    second = answer["originals"][1]
    checkpoint = tmp_path / "checkpoint.pt"
    state = load_file(store / "originals" / f"{second['sha256']}.safetensors")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, checkpoint)
    given = run_cli(*arguments, "--original", checkpoint)
    assert given.returncode == 0, given.stderr
    assert f"{second['board']['algorithms'][0]['score']['score']:.4f}" in given.stdout
    assert f"{second['accuracies']['forget_accuracy']:.2%}" in given.stdout and second["sha256"][:12] in given.stdout
    assert len(finished_records(store)) == 8 + 2 * 8  # it is number 1, and nothing is run again


@pytest.mark.slow
def test_a_folder_of_images_is_evaluated(tmp_path):
    rng = np.random.default_rng(0)
    for name, light in (("dark", 40), ("bright", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            pixels = (light + rng.integers(-30, 30, (20, 30, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i:03}.png")
    options = ["--dataset", tmp_path / "photos", "--image-size", 16, "--epochs", 2, "--store", tmp_path / "store"]
    process = run_cli("evaluate", "finetune", *options, "--runs", 2, "--actors", 1, "--json")
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert answer["benchmark"]["name"] == "photos" and answer["reference"]["runs"] == 2
