"""Live taps against a plain loop, and what they leave as it was."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from forget512.algorithms.engines import live_taps
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.engines.eager import Eager
from forget512.algorithms.training import Images, cosine, train
from forget512.harness.benchmark import networks
from support.small_maps import CARRIED, SmallMaps, data, make

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.05)


def fit(net, batches, engine, adjust=None, penalty=None, fall=1.0):
    for inputs, targets in batches:
        loss = F.cross_entropy(engine.forward(inputs), targets)
        if penalty is not None:
            loss = loss + penalty(net)
        engine.backward(loss)
        if adjust is not None:
            adjust(net)
        engine.step()
        for group in engine.steps.param_groups:
            group["lr"] *= fall
    return net


def plainly(net, batches, optimizer=SGD, **options):
    return fit(net, batches, Eager(net, optimizer(net.parameters())), **options)


def lively(net, batches, watched=True, optimizer=SGD, **options):
    batches = list(batches)
    steps = optimizer(net.parameters())
    with live_taps.offer(net, steps, batches[0][0], watched) as engine:
        assert bool(engine.split) == (not watched and type(steps) is torch.optim.SGD)
        return fit(net, batches, engine, **options)


def offered(net, inputs, watched=True, optimizer=SGD):
    return live_taps.offer(net, optimizer([p for p in net.parameters() if p.requires_grad]), inputs, watched)


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
    assert difference(lively(make(), data(4), False, optimizer=optimizer), expected) < 1e-9


@pytest.mark.parametrize("watched", [False, True])
def test_a_contiguous_network_is_trained_as_in_a_plain_loop(watched):
    expected = plainly(make(layout=torch.contiguous_format), data(3))
    assert difference(lively(make(layout=torch.contiguous_format), data(3), watched), expected) < 1e-9


@pytest.mark.parametrize("watched", [False, True])
def test_a_changing_rate_reaches_the_dead_taps(watched):
    optimizer = partial(torch.optim.SGD, lr=0.2, momentum=0.9, weight_decay=0.3, nesterov=True)
    expected = plainly(make(), data(5), optimizer=optimizer, fall=0.7)
    assert difference(lively(make(), data(5), watched, optimizer=optimizer, fall=0.7), expected) < 1e-9


@pytest.mark.parametrize("watched", [False, True])
def test_a_resnet18_is_trained_as_in_a_plain_loop(watched):
    def net():
        return networks.build("resnet18", 10, (32, 32, 3))

    expected = plainly(make(net), data(2, size=32, classes=10))
    found = lively(make(net), data(2, size=32, classes=10), watched)
    assert difference(found, expected) < 1e-9


@pytest.mark.parametrize("watched", [False, True])
def test_float32_differs_by_rounding(watched):
    expected = plainly(make(dtype=torch.float32), data(1, torch.float32))
    assert 0 < difference(lively(make(dtype=torch.float32), data(1, torch.float32), watched), expected) < 2e-5


@pytest.mark.parametrize("watched", [False, True])
def test_bfloat16_autocast_is_as_near_to_float32_as_in_a_plain_loop(watched):
    def gradients(way):
        net = way(make(dtype=torch.float32), data(1, torch.float32))
        return [getattr(net, name).weight.grad for name in ("stem", *CARRIED)]

    exact = gradients(plainly)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        theirs, ours = gradients(plainly), gradients(partial(lively, watched=watched))
    for their, our, true in zip(theirs, ours, exact, strict=True):
        assert our.dtype == torch.float32
        assert 0 < (our - true).norm() < 1.3 * (their - true).norm()


def test_the_same_run_has_the_same_bits():
    nets = [lively(make(dtype=torch.float32), data(3, torch.float32), watched=False) for _ in range(2)]
    assert difference(*nets) == 0


def test_batches_may_differ_in_size():
    def batches():
        return [(inputs[:size], targets[:size]) for (inputs, targets), size in zip(data(3), (64, 64, 5), strict=True)]

    expected = plainly(make(), batches())
    for watched in (False, True):
        assert difference(lively(make(), batches(), watched), expected) < 1e-9


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
    with offered(net, inputs):
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
    with offered(net, inputs):
        found = gradients()
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("watched", [False, True])
def test_a_weight_that_is_not_trained_stays(watched):
    net, batches = make(), list(data(3))
    net.middle.weight.requires_grad_(False)
    before, dense = net.middle.weight.clone(), net.dense.weight.detach().clone()
    steps = SGD([p for p in net.parameters() if p is not net.dense.weight and p.requires_grad])
    with live_taps.offer(net, steps, batches[0][0], watched) as engine:
        fit(net, batches, engine)
    assert torch.equal(net.middle.weight, before) and net.middle.weight.grad is None
    assert torch.equal(net.dense.weight, dense) and net.dense.weight.grad is not None


@pytest.mark.parametrize("watched", [False, True])
def test_the_optimizer_goes_on_with_what_it_remembers(watched):
    """As methods do that keep one optimizer for several trainings."""

    def twice(carried):
        net = make()
        steps = SGD(net.parameters(), nesterov=True)
        for batches in (list(data(3)), list(data(2))):
            if carried:
                with live_taps.offer(net, steps, batches[0][0], watched) as engine:
                    fit(net, batches, engine)
            else:
                fit(net, batches, Eager(net, steps))
        assert [id(p) for p in steps.param_groups[0]["params"]] == [id(p) for p in net.parameters()]
        assert {*steps.state} == {*net.parameters()}
        return net, [steps.state[p]["momentum_buffer"] for p in net.parameters()]

    (expected, theirs), (found, ours) = twice(False), twice(True)
    assert difference(found, expected) < 1e-9
    assert all(torch.allclose(a, b, rtol=0, atol=1e-9) for a, b in zip(ours, theirs, strict=True))


class Twice(SmallMaps):
    """The same convolution on maps of 2 × 2 and of one pixel."""

    def forward(self, x):
        x = F.relu(self.dense(F.relu(self.several(self.stem(x)))))
        return self.fc(self.middle(F.relu(self.halved(F.relu(self.middle(x))))).mean((2, 3)))


class Beside(SmallMaps):
    """A convolution whose weight the forward also uses otherwise."""

    def forward(self, x):
        return super().forward(x) + self.middle.weight.square().mean()


def shared() -> SmallMaps:
    net = SmallMaps()
    net.middle.weight = net.halved.weight
    return net


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("net", [Twice, Beside, shared])
def test_a_weight_that_is_used_twice_is_trained_as_in_a_plain_loop(net, watched):
    found, expected, batches = make(net), make(net), list(data(4))
    with live_taps.offer(found, SGD(found.parameters()), batches[0][0], watched) as engine:
        assert any(p is found.middle.weight for p in engine.steps.param_groups[0]["params"])
        fit(found, batches, engine)
    plainly(expected, batches)
    for one, other in zip(found.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("watched", [False, True])
def test_inputs_may_change_their_size(watched):
    """Other taps are dead then."""

    def batches():
        small, large, again = data(1), data(1, size=16), data(2)
        return [*small, *((inputs[:8], targets[:8]) for inputs, targets in large), *again]

    assert difference(lively(make(), batches(), watched), plainly(make(), batches())) < 1e-9


class Growing(SmallMaps):
    """Its convolutions meet larger maps at the second call, for the same inputs."""

    called = 0

    def forward(self, x):
        self.called += 1
        return super().forward(F.interpolate(x, scale_factor=2) if self.called == 2 else x)


def test_maps_that_change_although_the_inputs_do_not_are_refused_where_taps_are_apart():
    assert difference(lively(make(Growing), data(3)), plainly(make(Growing), data(3))) < 1e-9
    with pytest.raises(RuntimeError, match="other maps"):
        lively(make(Growing), data(3), watched=False)


# --- what is left as it was ---


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("watched", [False, True])
def test_the_network_is_a_plain_one_after_the_context_and_after_an_exception(watched, layout):
    net, (inputs, targets) = make(layout=layout), next(data(1))
    twin = copy.deepcopy(net)

    def look():
        strides = [(p.data_ptr(), p.stride()) for p in net.parameters()]
        return strides, [(type(module), sorted(vars(module))) for module in net.modules()]

    before = look()
    with pytest.raises(ZeroDivisionError), offered(net, inputs, watched) as engine:
        fit(net, [(inputs, targets)], engine)
        raise ZeroDivisionError
    assert look() == before
    plainly(twin, [(inputs, targets)])
    assert difference(net, twin) < 1e-9
    found, expected = plainly(net, data(2)), plainly(twin, data(2))
    assert difference(found, expected) < 1e-9


# --- through train() ---


@pytest.mark.parametrize("optimizer", [None, partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5)])
@pytest.mark.parametrize("adjusted", [False, True])
def test_train_uses_it_and_gives_the_weights_of_the_eager_engine(adjusted, optimizer):
    def trained(engine):
        net = make()
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (150, 8, 8, 3), generator=generator, dtype=torch.uint8)
        images = Doubles(pixels, torch.arange(150) % 5, [120.0] * 3, [70.0] * 3)
        order = RandomSampler(images, generator=generator)

        def clip():
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)

        with choosing(engine) as used:
            options = {"adjust": clip if adjusted else None, "optimizer": optimizer, "schedule": cosine(2)}
            train(net, DataLoader(images, 64, sampler=order), epochs=2, lr=0.05, weight_decay=0.05, **options)
        return net, used

    (found, used), (expected, _) = trained("auto"), trained("eager")
    assert used == {"live_taps"}
    assert difference(found, expected) < 1e-9
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in found.parameters() if p.dim() == 4)


class Doubles(Images):
    """Images in float64."""

    def batch(self, indices):
        inputs, targets = super().batch(indices)
        return inputs.double(), targets
