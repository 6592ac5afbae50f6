"""Live taps against a plain loop, and what they leave as it was."""

from __future__ import annotations

import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from forget512.algorithms.engines.live_taps import live_taps
from forget512.harness.benchmark import networks

BATCH = 64
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.05)


class Net(nn.Module):
    """Convolutions on maps of 8, 4, 2 and 1 pixels a side."""

    def __init__(self, middle: nn.Module | None = None):
        super().__init__()
        self.stem = nn.Conv2d(3, 128, 3, 2, 1)
        self.several = nn.Conv2d(128, 256, 3, 2, 1, bias=False)  # 4 × 4 -> 2 × 2
        self.dense = nn.Conv2d(256, 64, 3, 1, 1)  # 2 × 2
        self.halved = nn.Conv2d(64, 64, 3, 2, 1, bias=False)  # 2 × 2 -> 1 × 1
        self.middle = nn.Conv2d(64, 64, 3, 1, 1, bias=False) if middle is None else middle  # 1 × 1
        self.shortcut = nn.Conv2d(64, 64, 1, 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (128, 256, 64, 64, 64))
        self.fc = nn.Linear(64, 5)

    def forward(self, x):
        for layer, norm in zip((self.stem, self.several, self.dense), self.norms, strict=False):
            x = F.relu(norm(layer(x)))
        y = F.relu(self.norms[3](self.halved(x)))
        return self.fc((F.relu(self.norms[4](self.middle(y))) + self.shortcut(x)).mean((2, 3)))


CARRIED = ("several", "dense", "halved", "middle", "shortcut")


def make(net=Net, dtype=torch.float64, layout=torch.channels_last):
    torch.manual_seed(0)
    return net().to(dtype).to(memory_format=layout).train()


def data(steps, dtype=torch.float64, size=8, classes=5):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        inputs = torch.randn(BATCH, 3, size, size, generator=generator, dtype=dtype)
        yield inputs.to(memory_format=torch.channels_last), torch.randint(classes, (BATCH,), generator=generator)


def fit(net, batches, parameters, optimizer=SGD, adjust=None, penalty=None):
    steps = optimizer(parameters)
    for inputs, targets in batches:
        loss = F.cross_entropy(net(inputs), targets)
        if penalty is not None:
            loss = loss + penalty(net)
        steps.zero_grad()
        loss.backward()
        if adjust is not None:
            adjust(net)
        steps.step()
    return net


def plainly(net, batches, **options):
    return fit(net, batches, list(net.parameters()), **options)


def lively(net, batches, plain_sgd=False, **options):
    batches = list(batches)
    with live_taps(net, list(net.parameters()), batches[0][0], plain_sgd=plain_sgd) as lent:
        assert lent.active
        return fit(net, batches, lent.parameters, **options)


def difference(one, other):
    """The largest, over states and gradients."""
    pairs = [*zip(one.state_dict().values(), other.state_dict().values(), strict=True)]
    pairs += [(p.grad, q.grad) for p, q in zip(one.parameters(), other.parameters(), strict=True)]
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)


OPTIMIZERS = {
    "momentum": SGD,
    "Nesterov": partial(SGD, nesterov=True),
    "no momentum": partial(SGD, momentum=0),
    "no decay": partial(SGD, weight_decay=0),
    "dampening": partial(SGD, dampening=0.3),
    "fused": partial(SGD, fused=True, nesterov=True),
    "Adam": partial(torch.optim.Adam, lr=0.01, weight_decay=0.05),
    "AdamW": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5),
}


# --- the same as a plain loop ---


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_and_gradients_are_those_of_a_plain_loop(name):
    optimizer = OPTIMIZERS[name]
    expected = plainly(make(), data(4), optimizer=optimizer)
    assert difference(lively(make(), data(4), optimizer=optimizer), expected) < 1e-9
    if not name.startswith("Adam"):
        assert difference(lively(make(), data(4), plain_sgd=True, optimizer=optimizer), expected) < 1e-9


@pytest.mark.parametrize("plain_sgd", [False, True])
def test_a_contiguous_network_is_trained_as_in_a_plain_loop(plain_sgd):
    expected = plainly(make(layout=torch.contiguous_format), data(3))
    assert difference(lively(make(layout=torch.contiguous_format), data(3), plain_sgd), expected) < 1e-9


@pytest.mark.parametrize("plain_sgd", [False, True])
def test_a_changing_rate_reaches_the_dead_taps(plain_sgd):
    class Falling(torch.optim.SGD):
        def step(self, *arguments):
            super().step(*arguments)
            self.param_groups[0]["lr"] *= 0.7

    optimizer = partial(Falling, lr=0.2, momentum=0.9, weight_decay=0.3, nesterov=True)
    expected = plainly(make(), data(5), optimizer=optimizer)
    assert difference(lively(make(), data(5), plain_sgd, optimizer=optimizer), expected) < 1e-9


@pytest.mark.parametrize("plain_sgd", [False, True])
def test_a_resnet18_is_trained_as_in_a_plain_loop(plain_sgd):
    def net():
        return networks.build("resnet18", 10, (32, 32, 3))

    expected = plainly(make(net), data(2, size=32, classes=10))
    found = lively(make(net), data(2, size=32, classes=10), plain_sgd)
    assert difference(found, expected) < 1e-9


@pytest.mark.parametrize("plain_sgd", [False, True])
def test_float32_differs_by_rounding(plain_sgd):
    expected = plainly(make(dtype=torch.float32), data(1, torch.float32))
    assert 0 < difference(lively(make(dtype=torch.float32), data(1, torch.float32), plain_sgd), expected) < 2e-5


@pytest.mark.parametrize("plain_sgd", [False, True])
def test_bfloat16_autocast_is_as_near_to_float32_as_in_a_plain_loop(plain_sgd):
    def gradients(way):
        net = way(make(dtype=torch.float32), data(1, torch.float32))
        return [getattr(net, name).weight.grad for name in ("stem", *CARRIED)]

    exact = gradients(plainly)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        theirs, ours = gradients(plainly), gradients(partial(lively, plain_sgd=plain_sgd))
    for their, our, true in zip(theirs, ours, exact, strict=True):
        assert our.dtype == torch.float32
        assert 0 < (our - true).norm() < 1.3 * (their - true).norm()


def test_the_same_run_has_the_same_bits():
    nets = [lively(make(dtype=torch.float32), data(3, torch.float32), plain_sgd=True) for _ in range(2)]
    assert difference(*nets) == 0


def test_batches_may_differ_in_size():
    def batches():
        return [(inputs[:size], targets[:size]) for (inputs, targets), size in zip(data(3), (64, 64, 5), strict=True)]

    expected = plainly(make(), batches())
    for plain_sgd in (False, True):
        assert difference(lively(make(), batches(), plain_sgd), expected) < 1e-9


# --- what others see meanwhile ---


def test_an_adjustment_sees_whole_gradients_and_its_changes_count():
    def noisy(net):
        torch.manual_seed(5)
        for p in net.parameters():
            p.grad.mul_(0.5).add_(torch.randn(p.shape, dtype=p.dtype), alpha=0.01)  # dead taps as well

    expected = plainly(make(), data(4), adjust=noisy)
    assert difference(lively(make(), data(4), adjust=noisy), expected) < 1e-9


def test_dead_taps_have_the_gradient_zero():
    net = lively(make(), data(1))
    gradient = net.middle.weight.grad.clone()
    assert gradient[:, :, 1, 1].abs().min() > 0
    gradient[:, :, 1, 1] = 0
    assert (gradient == 0).all()


def test_a_penalty_on_weights_counts():
    def penalty(net):
        return 0.01 * sum(p.abs().sum() for p in net.parameters())

    expected = plainly(make(), data(4), penalty=penalty)
    assert difference(lively(make(), data(4), penalty=penalty), expected) < 1e-9


def test_a_copy_made_meanwhile_computes_with_its_own_weights():
    (inputs, _), net = next(data(1)), make().eval()
    with live_taps(net, list(net.parameters()), inputs):
        twin = copy.deepcopy(net)
        nn.init.zeros_(net.middle.weight)
        nn.init.zeros_(net.several.weight)
        assert torch.allclose(twin(inputs), make().eval()(inputs), atol=1e-12)


def test_second_derivatives_and_transforms_of_functions_work_meanwhile():
    (inputs, _), net = next(data(1)), make().eval()
    states = dict(net.named_parameters())

    def gradients():
        x = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        second = torch.autograd.grad(slope.square().sum(), net.middle.weight)[0]
        each = torch.func.vmap(lambda x: torch.func.functional_call(net, states, (x[None],)))(inputs[:4])
        return second, each

    expected = gradients()
    with live_taps(net, list(net.parameters()), inputs):
        found = gradients()
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("plain_sgd", [False, True])
def test_a_weight_that_is_not_trained_stays(plain_sgd):
    net, (first, *_) = make(), (batches := list(data(3)))
    net.middle.weight.requires_grad_(False)
    before = net.middle.weight.clone()
    trained = [p for p in net.parameters() if p is not net.dense.weight and p.requires_grad]
    dense = net.dense.weight.detach().clone()
    with live_taps(net, trained, first[0], plain_sgd=plain_sgd) as lent:
        fit(net, batches, lent.parameters)
    assert torch.equal(net.middle.weight, before) and net.middle.weight.grad is None
    assert torch.equal(net.dense.weight, dense) and net.dense.weight.grad is not None


class Twice(Net):
    """The same convolution on maps of 2 × 2 and of one pixel."""

    def forward(self, x):
        x = F.relu(self.dense(F.relu(self.several(self.stem(x)))))
        return self.fc(self.middle(F.relu(self.halved(F.relu(self.middle(x))))).mean((2, 3)))


class Beside(Net):
    """A convolution whose weight the forward also uses otherwise."""

    def forward(self, x):
        return super().forward(x) + self.middle.weight.square().mean()


def shared() -> Net:
    net = Net()
    net.middle.weight = net.halved.weight
    return net


@pytest.mark.parametrize("plain_sgd", [False, True])
@pytest.mark.parametrize("net", [Twice, Beside, shared])
def test_a_weight_that_is_used_twice_is_trained_as_in_a_plain_loop(net, plain_sgd):
    def step(net, way):
        used = [p for name, p in net.named_parameters() if net is not Twice or "norms" not in name]
        batches = list(data(4))
        if way is None:
            return fit(net, batches, used)
        with live_taps(net, used, batches[0][0], plain_sgd=way) as lent:
            assert lent.active and any(p is net.middle.weight for p in lent.parameters)
            return fit(net, batches, lent.parameters)

    expected, found = step(make(net), None), step(make(net), plain_sgd)
    for one, other in zip(found.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=0, atol=1e-9)


def test_other_maps_than_before_are_refused_where_taps_are_apart_and_taken_otherwise():
    (inputs, _), net = next(data(1)), make().eval()
    large = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = net(large)
    with live_taps(net, list(net.parameters()), inputs):
        assert torch.allclose(net(large), expected, atol=1e-12)
    with live_taps(net, list(net.parameters()), inputs, plain_sgd=True), pytest.raises(RuntimeError, match="maps"):
        net(large)


# --- what is left as it was ---


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("plain_sgd", [False, True])
def test_the_network_is_a_plain_one_after_the_context_and_after_an_exception(plain_sgd, layout):
    net, (inputs, targets) = make(layout=layout), next(data(1))
    twin = copy.deepcopy(net)

    def look():
        strides = [(p.data_ptr(), p.stride()) for p in net.parameters()]
        return strides, [(type(module), sorted(vars(module))) for module in net.modules()]

    before = look()
    with pytest.raises(ZeroDivisionError), live_taps(net, list(net.parameters()), inputs, plain_sgd=plain_sgd) as lent:
        fit(net, [(inputs, targets)], lent.parameters)
        raise ZeroDivisionError
    assert look() == before
    plainly(twin, [(inputs, targets)])
    assert difference(net, twin) < 1e-9
    found, expected = plainly(net, data(2)), plainly(twin, data(2))
    assert difference(found, expected) < 1e-9


class Drawing(Net):
    """Draws from every global generator."""

    def forward(self, x):
        scale = 1 + 0.1 * (random.random() + np.random.rand() + torch.rand(1).item())
        return super().forward(F.dropout(x * scale, 0.2))


def test_finding_the_convolutions_changes_neither_random_states_nor_statistics():
    net, (inputs, _) = make(Drawing), next(data(1))
    state = copy.deepcopy(net.state_dict())
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with live_taps(net, list(net.parameters()), inputs) as lent:
        assert lent.active
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), state.values(), strict=True))
    assert all(p.grad is None for p in net.parameters())


def hooked(kind):
    def build():
        net = Net()
        if kind == "forward":
            net.middle.register_forward_hook(lambda *_: None)
        elif kind == "pre":
            net.norms[0].register_forward_pre_hook(lambda *_: None)
        else:
            net.middle.register_full_backward_hook(lambda *_: None)
        return net

    return build


class Outside(Net):
    """Cannot be followed without data."""

    def forward(self, x):
        return super().forward(x * (2 if x.sum().item() > 0 else 3))


def narrow():
    return networks.build("resnet8-thin", 5, (8, 8, 3))


@pytest.mark.parametrize("plain_sgd", [False, True])
@pytest.mark.parametrize("net", [hooked("forward"), hooked("pre"), hooked("backward"), Outside, narrow])
def test_a_network_that_cannot_be_helped_is_left_alone_to_the_last_bit(net, plain_sgd):
    expected, found, batches = plainly(make(net), data(2)), make(net), list(data(2))
    with live_taps(found, parameters := list(found.parameters()), batches[0][0], plain_sgd=plain_sgd) as lent:
        assert not lent.active and all(a is b for a, b in zip(lent.parameters, parameters, strict=True))
        assert not any("forward" in vars(module) for module in found.modules())
        fit(found, batches, lent.parameters)
    assert difference(found, expected) == 0


class Own(nn.Conv2d):
    pass


OTHERS = {
    "groups": partial(nn.Conv2d, 64, 64, 3, 1, 1, groups=4),
    "dilation": partial(nn.Conv2d, 64, 64, 3, 1, 2, dilation=2),
    "padding by name": partial(nn.Conv2d, 64, 64, 3, padding="same"),
    "padding with values": partial(nn.Conv2d, 64, 64, 3, 1, 1, padding_mode="circular"),
    "parametrised": lambda: weight_norm(nn.Conv2d(64, 64, 3, 1, 1)),
    "a class of its own": partial(Own, 64, 64, 3, 1, 1),
    "padding alone": partial(nn.Conv2d, 64, 64, 3, 3, 3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_kind_of_convolution_is_left_alone(name):
    def net():
        return Net(nn.Sequential(OTHERS[name](), nn.AdaptiveAvgPool2d(1)))

    found = make(net)
    with live_taps(found, list(found.parameters()), next(data(1))[0]):
        assert "forward" in vars(found.halved) and "forward" not in vars(found.middle[0])
    assert difference(lively(make(net), data(3), True), plainly(make(net), data(3))) < 1e-9


def test_which_convolutions_are_carried():
    net = make()
    with live_taps(net, list(net.parameters()), next(data(1))[0]):
        assert [name for name, module in net.named_modules() if "forward" in vars(module)] == list(CARRIED)
    with live_taps(net, list(net.parameters()), next(data(1))[0][:2]) as lent:
        assert not lent.active  # two images: calls cost more than they save
