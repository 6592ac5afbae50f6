"""Networks from users' files: found, tried, sent along, and part of the benchmark."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch

from forget512.harness.benchmark import networks
from forget512.harness.benchmark.comparing import differences
from forget512.harness.benchmark.network_file import read_network
from forget512.harness.errors import UserError
from forget512.harness.worker.unlearn import fresh_network

GOOD = """
from torch import nn

def build(classes, input_shape):
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, classes),
    )
"""


@pytest.fixture
def write(tmp_path):
    def make(text, name="my_net"):
        (tmp_path / f"{name}.py").write_text(text)
        return f"{tmp_path / name}.py"

    return make


def refusal(make_tiny, model, *parts):
    with pytest.raises(UserError) as caught:
        make_tiny(model=model)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line, line


def test_the_function_gets_the_classes_and_the_shape_of_one_input(make_tiny, write):
    benchmark = make_tiny(model=write(GOOD) + ":build")
    net = fresh_network(benchmark.training_part, torch.device("cpu"))
    assert str(benchmark.model) == "my_net:build"
    assert net[0].in_channels == 1 and net[5].out_features == 3
    assert net[0].weight.shape == (4, 1, 3, 3)


def test_its_source_is_part_of_the_fingerprint_and_its_place_is_not(make_tiny, write, tmp_path):
    one = make_tiny(model=write(GOOD) + ":build")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "my_net.py").rename(tmp_path / "elsewhere" / "my_net.py")
    moved = make_tiny(model=f"{tmp_path / 'elsewhere' / 'my_net.py'}:build")
    reworded = make_tiny(model=write(GOOD + "\n# another day\n") + ":build")
    edited = make_tiny(model=write(GOOD + "\nDAY = 2\n") + ":build")
    assert one.fingerprint == moved.fingerprint == reworded.fingerprint != edited.fingerprint
    assert [line.split(":")[0] for line in differences(one.identity, edited.identity)] == ["model.source_sha256"]


def test_our_own_networks_have_no_source_in_their_identity(benchmark):
    assert set(benchmark.identity["model"]) == {"name", "shapes_sha256"}


def test_it_is_built_elsewhere_from_what_was_sent_even_if_its_files_are_gone(make_tiny, write, tmp_path):
    (tmp_path / "parts_sent").mkdir()
    (tmp_path / "parts_sent" / "__init__.py").write_text("from parts_sent.stem import WIDTH\n")
    (tmp_path / "parts_sent" / "stem.py").write_text("WIDTH = 4\n")
    (tmp_path / "side_sent.py").write_text("from torch.nn import Conv2d as Convolution\n")
    head = "from parts_sent import WIDTH\nfrom side_sent import Convolution\n"
    text = head + GOOD.replace("nn.Conv2d(channels, 4", "Convolution(channels, WIDTH")
    part = make_tiny(model=write(text, "net_sent") + ":build").training_part
    assert sorted(part.model.files) == ["net_sent.py", "parts_sent/__init__.py", "parts_sent/stem.py", "side_sent.py"]
    (tmp_path / "part.pickle").write_bytes(pickle.dumps(part))
    for name in ("net_sent.py", "side_sent.py", "parts_sent/stem.py", "parts_sent/__init__.py"):
        (tmp_path / name).unlink()
    code = (
        "import pickle, sys, torch\n"
        "from forget512.harness.worker.unlearn import fresh_network\n"
        f"part = pickle.load(open({str(tmp_path / 'part.pickle')!r}, 'rb'))\n"
        "net = fresh_network(part, torch.device('cpu'))\n"
        "print(tuple(net[0].weight.shape), sys.modules['side_sent'].Convolution.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(4, 1, 3, 3) Conv2d"


def test_a_sibling_that_changes_is_another_network(write, tmp_path):
    sources = []
    for number in (1, 2):
        (tmp_path / "width_of.py").write_text(f"WIDTH = {number}\n")
        sys.modules.pop("width_of", None)
        sources.append(read_network(write("from width_of import WIDTH\n" + GOOD, "net_of") + ":build").source)
    assert sources[0] != sources[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module' (bad_net"),
        ("def build(:", "cannot be imported: SyntaxError: invalid syntax (bad_net.py, line 1)"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("def built(classes, shape): ...", "function 'build' is not known: choose from built. Did you mean 'built'?"),
        ("x = 1", "function 'build' is not known"),
        ("build = 3", "function 'build' is not known"),
        ("def build(classes, shape): return 1 / 0", "build(3, (1, 8, 8)) raised ZeroDivisionError: division by zero"),
        ("def build(classes): ...", "raised TypeError: build() takes 1 positional argument but 2 were given"),
        ("def build(classes, shape): ...", "returned NoneType: it must return a network"),
        ("from torch import nn\ndef build(c, s): return nn.Identity()", "without parameters"),
        ("from torch import nn\ndef build(c, s): return nn.Linear(8, 3)", "gives torch.float32 of shape (2, 1, 8, 3)"),
        (GOOD.replace("16, classes", "16, 7"), "of shape (2, 7): it must give floating-point logits of shape (2, 3)"),
        (GOOD.replace("16, classes", "17, classes"), "the network fails on inputs of shape (2, 1, 8, 8)"),
        (
            "from torch import nn\n"
            "class Net(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.conv = nn.Conv2d(1, 4, 3)\n"
            "    def forward(self, x):\n"
            "        x = self.conv(x)\n"
            "        return x.view(len(x), -1)\n"
            "def build(c, s): return Net()\n",
            "Use .reshape(...) instead",
        ),
    ],
)
def test_a_file_that_is_no_network_is_one_line(make_tiny, write, text, said):
    refusal(make_tiny, write(text, "bad_net") + ":build", "--model ", said)


def test_names_that_are_none_are_one_line(make_tiny, write, tmp_path):
    refusal(make_tiny, f"{tmp_path}/none.py:build", "none.py does not exist")
    refusal(make_tiny, write(GOOD), "name the function that builds the network, as in my_net.py:build")
    refusal(make_tiny, write(GOOD) + ":", "name the function")
    refusal(make_tiny, "resnet188", "FILE.py:FUNCTION", "Did you mean 'resnet18'?")


def test_a_name_is_found_before_a_file():
    assert networks.find("resnet8") == "resnet8"
