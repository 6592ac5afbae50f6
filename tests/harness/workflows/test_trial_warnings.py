"""What looks unintended in a run is told, and set back."""

from __future__ import annotations

import os
import threading
import time

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load

from forget512.harness.worker.seeds import Seeds
from forget512.harness.workflows.trial_warnings import STATE, Watch, weight_warnings


@pytest.fixture
def warnings_of(unlearner, original):
    """warnings_of(function of net and retain): all that is told of such a run."""

    def run(change):
        watch = Watch(lambda net, retain, forget, validation: change(net, retain))
        state, *_ = unlearner.unlearn(watch, {}, Seeds("bank", 0), original)
        return [*weight_warnings(load(original), state, watch.net), *watch.warnings]

    return run


def one_step(net, retain):
    inputs, targets = next(iter(retain))
    F.cross_entropy(net(inputs), targets).backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()


def in_training(net, retain):
    torch.manual_seed(3)  # seeding is fine, and so is the mode that the network is left in
    one_step(net.train(), retain)


def in_evaluation(net, retain):
    one_step(net.eval(), retain)


def statistics_alone(net, retain):
    with torch.no_grad():
        net.train()(next(iter(retain))[0])


def not_a_number(net, retain):
    in_training(net, retain)
    net.layer1.bn1.bias.data[0] = float("nan")


def freeze(net, retain):
    in_training(net, retain)
    net.conv1.requires_grad_(False)


def test_a_step_of_training_is_nothing_to_warn_of(warnings_of):
    assert warnings_of(in_training) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda net, retain: None, "the weights are unchanged"),
        (lambda net, retain: torch.nn.Module.train(net), "the weights are unchanged"),
        (statistics_alone, "no parameter changed, only statistics of batch norms"),
        (in_evaluation, "the statistics of all 9 batch norms are still those of the original model"),
        (not_a_number, "1 tensors hold NaN or infinite values, the first is layer1.bn1.bias"),
        (freeze, "1 of 29 parameters have requires_grad=False, the first is conv1.weight"),
    ],
)
def test_what_looks_unintended_in_the_weights_is_told_once(warnings_of, change, said):
    (line,) = warnings_of(change)
    assert said in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: torch.set_default_dtype(torch.float64), "get_default_dtype() was torch.float32 and is torch.float64"),
        (lambda: torch.set_num_threads(2), "torch.get_num_threads() was 1 and is 2"),
        (lambda: torch.set_grad_enabled(False), "torch.is_grad_enabled() was True and is False"),
        (lambda: torch.use_deterministic_algorithms(True), "torch.are_deterministic_algorithms_enabled() was False"),
        (lambda: torch.autograd.set_detect_anomaly(True), "torch.is_anomaly_enabled() was False and is True"),
        (lambda: torch.set_autocast_enabled("cpu", True), "autocast on the CPU was False and is True"),
        (lambda: torch.set_float32_matmul_precision("medium"), "matmul_precision() was highest and is medium"),
        (lambda: setattr(torch.backends.cudnn, "allow_tf32", not torch.backends.cudnn.allow_tf32), "cudnn.allow_tf32"),
        (lambda: os.chdir("/"), "the working directory was"),
    ],
)
def test_changed_global_state_is_told_and_set_back(warnings_of, change, said):
    before = {name: read() for name, (read, _) in STATE.items()}

    def candidate(net, retain):
        in_training(net, retain)
        change()

    (line,) = warnings_of(candidate)
    assert line.startswith("global state changed: ") and said in line
    assert {name: read() for name, (read, _) in STATE.items()} == before


def test_a_thread_that_goes_on_is_told(warnings_of):
    def candidate(net, retain):
        in_training(net, retain)
        threading.Thread(target=time.sleep, args=(1,)).start()

    assert "the number of Python threads" in warnings_of(candidate)[0]
