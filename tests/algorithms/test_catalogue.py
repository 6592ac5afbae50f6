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
from torch.utils.data import DataLoader, Subset

from forget512.algorithms import ALGORITHMS
from forget512.algorithms.training import Images
from forget512.harness.candidates.user_file import defaults, fractional
from forget512.harness.isolation.environment import ROOT
from support.running import changed, is_finite, run

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
