"""Original models: trained by number, or from a user's file."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from forget512.harness.candidates.built_in import built_in
from forget512.harness.errors import UserError
from forget512.harness.exchange.original_file import read_original
from forget512.harness.hashing import sha256
from forget512.harness.store.originals import (
    examined_originals,
    keep_examination,
    keep_original,
    load_examination,
    load_original,
    original_key,
)
from forget512.harness.worker.seeds import Seeds


@pytest.fixture
def retrain(benchmark):
    return built_in("retrain", benchmark.dataset.name, benchmark.recipe.hyper_parameters)


@pytest.fixture
def state(original):
    """The original model's, to be changed at will."""
    return load(original)


# --- numbers ---


def test_originals_of_other_numbers_have_other_seeds_and_places(store, benchmark, retrain):
    seeds = [Seeds(original_key(benchmark, retrain), number) for number in range(3)]
    assert len({each.of("global") for each in seeds}) == 3
    for number in range(3):
        keep_original(store, benchmark, retrain, b"model %d" % number, number)
    assert [load_original(store, benchmark, retrain, number) for number in range(4)] == [
        b"model 0",
        b"model 1",
        b"model 2",
        None,
    ]
    assert load_original(store, benchmark, retrain) == b"model 0"


def test_examinations_are_kept_by_benchmark_and_model(store, benchmark, make_tiny, make_record):
    digest, other = sha256(b"model"), sha256(b"other")
    fingerprint = benchmark.fingerprint
    assert load_examination(store, fingerprint, digest) is None
    kept = keep_examination(store, fingerprint, make_record(digest).encode())
    found = load_examination(store, fingerprint, digest)
    assert found.forget_accuracy == kept.forget_accuracy == 0.8
    assert np.array_equal(found.forget_logits, kept.forget_logits)
    assert load_examination(store, fingerprint, other) is None
    assert load_examination(store, make_tiny(epochs=3).fingerprint, digest) is None
    assert list(examined_originals(store, fingerprint)) == [digest]
    assert examined_originals(store, make_tiny(epochs=3).fingerprint) == {}


def test_a_damaged_examination_is_set_aside_and_made_again(store, benchmark, make_record):
    digest = sha256(b"model")
    keep_examination(store, benchmark.fingerprint, make_record(digest).encode())
    (path,) = (store.root / "originals").glob("*-examined.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert examined_originals(store, benchmark.fingerprint) == {}
    assert load_examination(store, benchmark.fingerprint, digest) is None and not path.exists()
    keep_examination(store, benchmark.fingerprint, make_record(digest).encode())
    assert load_examination(store, benchmark.fingerprint, digest) is not None


# --- files ---


@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_whatever_form_the_weights_come_in_they_are_the_same_model(benchmark, original, state, tmp_path, wrap, prefix):
    state = {prefix + name: value for name, value in reversed(state.items())}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "model.pt")
    assert read_original(tmp_path / "model.pt", benchmark) == original


def test_a_stored_original_given_as_a_file_is_that_original(benchmark, original, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(original)
    assert sha256(read_original(tmp_path / "model.safetensors", benchmark)) == sha256(original)


def test_half_precision_becomes_the_architectures_type(benchmark, state, tmp_path):
    save_file({name: v.half() if v.is_floating_point() else v for name, v in state.items()}, tmp_path / "h.safetensors")
    found = load(read_original(tmp_path / "h.safetensors", benchmark))
    assert {name: v.dtype for name, v in found.items()} == {name: v.dtype for name, v in state.items()}
    assert torch.equal(found["fc.weight"], state["fc.weight"].half().float())


def refusal(benchmark, path, *parts):
    with pytest.raises(UserError) as caught:
        read_original(path, benchmark)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("layer1.bn1.weight"), "lacks 'layer1.bn1.weight', which resnet8-thin for tiny has"),
        (lambda s: s.update(**{"fc.bias": torch.zeros(10)}), "'fc.bias' has shape (10,), but (3,) in resnet8-thin"),
        (lambda s: s.update(head=torch.zeros(1)), "has 'head', which resnet8-thin for tiny lacks"),
        (lambda s: s["fc.weight"].fill_(float("nan")), "'fc.weight' holds values that are not finite"),
        (lambda s: s.update(epoch=3), "'epoch' is not a plain tensor (int): save net.state_dict() alone"),
        (
            lambda s: s.update(**{"fc.bias": torch.full((3,), 1e300, dtype=torch.float64)}),
            "not finite (NaN or infinite)",
        ),
        (lambda s: s.update(**{"fc.bias": torch.zeros(3).to_sparse()}), "'fc.bias' is not a plain tensor"),
        (lambda s: s.update(**{"fc.bias": torch.zeros(3, device="meta")}), "'fc.bias' is not a plain tensor"),
    ],
)
def test_the_first_difference_from_the_architecture_is_named(benchmark, state, tmp_path, change, said):
    change(state)
    torch.save(state, tmp_path / "model.pt")
    refusal(benchmark, tmp_path / "model.pt", said)


class Hostile:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_the_code_not_run(benchmark, state, tmp_path, legacy):
    trace = tmp_path / "trace"
    state["fc.bias"] = Hostile(trace)
    path = tmp_path / "model.pt"
    if legacy:
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path)
    refusal(benchmark, path, "no code was run")
    assert not trace.exists()


def test_a_pickled_network_is_refused_with_what_to_do(benchmark, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    refusal(benchmark, tmp_path / "model.pt", "needs code", "it was not loaded")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_files_that_are_no_checkpoints_are_one_line(benchmark, state, tmp_path, name):
    path = tmp_path / name
    refusal(benchmark, path, "does not exist")
    for data in (b"", b"hello world" * 10, os.urandom(300), b"\x80\x02J\x01"):
        path.write_bytes(data)
        refusal(benchmark, path)
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:1000])
    refusal(benchmark, path, "cannot be read as a state_dict")
    torch.save([1, 2], tmp_path / "list.pt")
    refusal(benchmark, tmp_path / "list.pt", "holds a list, not a state_dict")
