"""What holds for every method: the sets that it reads, architectures, small and odd sets, determinism."""

from __future__ import annotations

import copy
import inspect
import json
import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, Subset

from forget512.algorithms import ALGORITHMS
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.training import Images
from forget512.harness.candidates.user_file import defaults, fractional
from forget512.harness.isolation.environment import ROOT
from support.running import changed, differences, is_finite, run

each = pytest.mark.parametrize("name", ALGORITHMS)


def perform(name: str, net: nn.Module, loaders: dict[str, DataLoader], seed: int = 0) -> nn.Module:
    """Run a method with the sets that it reads; the others raise when anything of them is asked for."""
    method = ALGORITHMS[name]
    return run(method.function, net, seed=seed, **{s: loaders[s] for s in method.reads}, **method.short)


def has_changed(name: str, net: nn.Module, before: nn.Module) -> bool:
    """As it should be: every method but `original` changes a parameter."""
    return bool(changed(net, before)) == (name != "original") and is_finite(net)


def test_only_published_defaults_are_called_so():
    ours = {method.name for method in ALGORITHMS.values() if method.published == "ours"}
    assert ours == {"retrain", "original", "distil"}


@each
def test_its_entry_says_what_its_function_says(name):
    method = ALGORITHMS[name]
    assert (method.name, method.function.__module__.rpartition(".")[2]) == (name, method.module)
    assert method.summary == (inspect.getdoc(method.function) or "").splitlines()[0]
    assert json.dumps(method.defaults) == json.dumps(defaults(method.function))
    assert method.fractional == fractional(method.function)


@each
def test_its_settings_are_of_values_that_it_has(name):
    method = ALGORITHMS[name]
    grids = [*method.grid, *(point for grid in method.grid_on.values() for point in grid)]
    for values in (*method.presets.values(), *method.small.values(), *grids, method.short):
        assert values.keys() <= method.defaults.keys()


def test_methods_are_listed_and_imported_without_torch():
    code = "import sys, forget512.algorithms as a; print(*dir(a)); [m.defaults for m in a.ALGORITHMS.values()]"
    code += "; print('torch' in sys.modules); from forget512.algorithms import ssd, training; print(ssd.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, loaded, name = done.stdout.splitlines()
    assert set(listed.split()) == {"ALGORITHMS", *ALGORITHMS} and (loaded, name) == ("False", "ssd")


def test_a_name_that_is_not_there_is_an_import_error():
    with pytest.raises(ImportError, match="cannot import name 'no_such'"):
        from forget512.algorithms import no_such  # noqa: F401


@pytest.mark.parametrize("part", ["algorithms", "scoring", "harness"])
def test_a_part_is_imported_as_one_of_forget512_alone(part):
    done = subprocess.run([sys.executable, "-c", f"import {part}"], capture_output=True, text=True, cwd=ROOT)
    assert f"ImportError: import forget512.{part}, not {part}" in done.stderr


@each
def test_it_takes_four_arguments_and_plain_values_by_name(name):
    parameters = list(inspect.signature(ALGORITHMS[name].function).parameters.values())
    assert [p.name for p in parameters[:4]] == ["net", "retain", "forget", "validation"]
    for parameter in parameters[4:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        json.dumps(parameter.default, allow_nan=False)
        if parameter.annotation == Sequence[float]:  # --set reads the values as of the default's kind
            assert all(type(value) is float for value in parameter.default)
    assert (inspect.getdoc(ALGORITHMS[name].function) or "").splitlines()[0].endswith((".", ".)"))


@each
@pytest.mark.parametrize(
    ("model", "size", "channels"),
    [
        ("resnet8-thin", 8, 1),
        ("resnet8", 32, 3),
        pytest.param("resnet18", 32, 3, marks=pytest.mark.slow),
        pytest.param("resnet18-cifar", 32, 3, marks=pytest.mark.slow),
    ],
)
def test_it_reads_its_sets_alone_and_copes_with_a_last_batch_of_one_and_one_forget_image(
    make_images, make_loader, make_net, name, model, size, channels
):
    images = {s: make_images(n, size, channels, seed=n) for s, n in (("retain", 5), ("forget", 1), ("validation", 3))}
    net = make_net(model, size, channels)
    # With random weights the one image may be unknown already, and then there is nothing for neggrad to do.
    images["forget"].targets = net.eval()(images["forget"].batch([0])[0]).argmax(1)
    found = perform(name, net, {s: make_loader(each, 4) for s, each in images.items()})
    assert has_changed(name, found, make_net(model, size, channels))
    assert all(parameter.requires_grad for parameter in found.parameters())


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("sun", {"tensors": -1}, "tensors=-1: give 0 or more, as a whole number"),
        ("sun", {"tensors": 1.5}, "tensors=1.5: give 0 or more"),
        ("unsir", {"noise_images": 0}, "noise_images=0: give 1 or more"),
        ("unsir", {"noise_steps": 0}, "noise_steps=0: give 1 or more, as a whole number"),
        ("unsir", {"noise_steps": -3}, "noise_steps=-3: give 1 or more"),
        ("scrub", {"retain_batch": 1}, "a batch size of 1: give 2 or more"),
        ("scrub", {"forget_batch": 1}, "a batch size of 1: give 2 or more"),
        ("fanchuan", {"retain_batch": 1}, "a batch size of 1: give 2 or more"),
    ],
)
def test_a_number_that_counts_nothing_is_refused(small_sets, make_loader, make_net, name, settings, sentence):
    sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
    method = ALGORITHMS[name]
    with pytest.raises(ValueError, match=sentence):
        run(method.function, make_net(), **{s: make_loader(sets[s]) for s in method.reads}, **settings)


@pytest.mark.parametrize(
    ("name", "empty"),
    [("neggrad_plus", "forget"), ("neggrad_plus", "retain"), ("kookmin", "retain"), ("finetune", "retain")],
)
def test_a_set_that_gives_no_batch_is_refused(small_sets, make_loader, make_net, name, empty):
    sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
    method = ALGORITHMS[name]
    loaders = {s: make_loader(sets[s]) for s in method.reads} | {empty: make_loader(sets[empty], 64, drop_last=True)}
    with pytest.raises(ValueError, match="a pass over this loader gives no batch"):
        run(method.function, make_net(), **loaders)


@each
def test_the_same_seed_gives_the_same_bits(small_sets, make_loader, make_original, name):
    sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
    one, other = (perform(name, make_original(), {s: make_loader(i) for s, i in sets.items()}) for _ in range(2))
    assert not changed(one, other) and has_changed(name, one, make_original())


@each
def test_its_draws_do_not_depend_on_the_layout_in_memory(small_sets, make_loader, make_original, float64, name):
    """In float64, where another order of sums makes no difference that training could enlarge."""
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
        net = make_original().double().to(memory_format=layout)
        with choosing("eager"):
            found.append(perform(name, net, {s: make_loader(images) for s, images in sets.items()}))
    assert differences(*found) < 1e-6, "draw torch.randn(p.shape), not randn_like(p): see docs/contributing.md"


@each
def test_it_takes_loaders_over_data_sets_of_the_users(small_sets, make_original, name):
    sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
    loaders = {s: DataLoader(Subset(images, range(len(images))), 4) for s, images in sets.items()}
    assert has_changed(name, perform(name, make_original(), loaders), make_original())


@each
def test_it_copes_with_two_classes_of_which_one_is_forgotten_whole(make_images, make_loader, make_net, name):
    images = {s: make_images(8, seed=seed) for seed, s in enumerate(("retain", "forget", "validation"))}
    for s, label in (("retain", 0), ("forget", 1), ("validation", 1)):
        images[s].targets = torch.full((8,), label)
    net = make_net()
    net.fc = nn.Linear(net.fc.in_features, 2)
    net.fc.bias.data = torch.tensor([0.0, 9.0])  # the class to be forgotten is known
    before = copy.deepcopy(net)
    assert has_changed(name, perform(name, net, {s: make_loader(i, 4) for s, i in images.items()}), before)


@each
def test_it_works_under_bfloat16(small_sets, make_loader, make_original, name):
    sets: dict[str, Images] = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        found = perform(name, make_original(), {s: make_loader(i) for s, i in sets.items()})
    assert has_changed(name, found, make_original())


# --- layers that compute their weight from other parameters ---

WRITERS = {  # a layer that the method would write to
    "forget_remember": "layer2.conv1",
    "kookmin": "layer1.conv2",
    "seif": "conv1",
    "sebastian": "layer1.conv1",
    "toshi_marvelous": "layer3.conv1",
    "amnesiacs": "conv1",
    "sun": "fc",
    "distil": "layer1.conv1",
}
WRITING = {"distil": {"start": "noise"}}


@pytest.mark.parametrize("name", WRITERS)
def test_what_would_be_lost_is_not_written(small_sets, make_loader, make_net, name):
    method = ALGORITHMS[name]
    net, before = make_net(), make_net()
    for each in (net, before):
        weight_norm(each.get_submodule(WRITERS[name]))
    sets = {s: make_loader(images) for s, images in zip(("retain", "forget", "validation"), small_sets, strict=True)}
    with pytest.raises(ValueError, match=r"network's Parametrized\w+ computes its own from other parameters"):
        run(method.function, net, **{s: sets[s] for s in method.reads}, **WRITING.get(name, {}))
    assert not changed(net, before)


# --- the published settings, as the publications state them: a method's own defaults ---

PUBLISHED = {
    "forget_remember": {
        "draws": [2, 2, 2],
        "epochs": [1, 2, 2],
        "lr": [0.001],
        "t_max": 2,
        "sigma": 0.01,
        "loss": "mse",
        "pool": "no-fc-no-shortcut",
        "selection": "random",
        "unit": "layer",
    },
    "forget_remember_2": {
        "draws": [2, 2, 1, 1],
        "epochs": [2, 1, 1, 1],
        "lr": [0.0005, 0.001, 0.001, 0.001, 0.001],
        "sigma": 0.01,
    },
    "finetune": {"epochs": 1, "lr": 0.001, "momentum": 0.9, "weight_decay": 5e-4},
    "fanchuan": {"uniform_lr": 0.005, "rounds": 8, "forget_lr": 3e-4, "temperature": 1.15, "retain_batch": 256,
                 "retain_lr": 0.004, "weight_decay": 1e-2},
    "kookmin": {"share": 0.3, "epochs": 5, "lr": 0.001, "kept_rate": 0.1, "weight_decay": 5e-4},
    "seif": {"sigma": 0.6, "last_sigma": 0.005, "epochs": 4, "lr": 7e-4, "weight_decay": 5e-4},
    "sebastian": {"share": 0.99, "class_power": -0.1, "epochs": 3.2, "lr": 5e-4, "weight_decay": 5e-4},
    "toshi_marvelous": {"epochs": 3, "lr": 0.001, "weight_decay": 5e-4},
    "amnesiacs": {"warmup_epochs": 3, "warmup_lr": 9e-4, "epochs": 3, "lr": 0.001, "temperature": 5.0,
                  "weight_decay": 5e-4},
    "sun": {"epochs": 5, "tensors": 9, "share": 0.7, "sigma": 0.04, "lr": 2e-4, "factors": [1, 1, 1, 5],
            "weight_decay": 5e-4},
    "neggrad_plus": {"alpha": 0.95, "lr": 0.01},
    "random_labels": {"lr": 0.01, "epochs": 10},
    "scrub": {"temperature": 2.0, "alpha": 0.5, "gamma": 1.0, "msteps": 3, "lr": 5e-4, "retain_batch": 32,
              "forget_batch": 64, "decay_at": [0.5, 0.8, 0.9], "decay": 0.1},
    "salun": {"share": 0.5, "lr": 0.01, "momentum": 0.0, "epochs": 10},
    "l1_sparse": {"gamma": 5e-4, "epochs": 10, "lr": 0.01},
    "ssd": {"alpha": 10.0, "lam": 1.0},
    "cf_k": {"lr": 0.01, "weight_decay": 5e-4},
    "unsir": {"lr": [0.02, 0.01], "epochs": [1, 1]},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_defaults_are_the_published_ones(name):
    found = json.loads(json.dumps(ALGORITHMS[name].defaults))
    assert {key: found[key] for key in PUBLISHED[name]} == PUBLISHED[name]
