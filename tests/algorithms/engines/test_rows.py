"""The row engine against the eager one: what a training leaves, whatever a method asks for, and where eager runs."""

from __future__ import annotations

import copy
import operator
import random
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.parametrizations import weight_norm

from forget512.algorithms import ALGORITHMS
from forget512.algorithms.engines import rows
from forget512.algorithms.engines.choice import choosing, inference
from forget512.algorithms.tools.inputs import gaussian_noise
from forget512.algorithms.training import flip_and_crop, train
from support.running import changed, run


def largest_difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def clip(net):
    return {"adjust": lambda: clip_grad_norm_(net.parameters(), 0.1)}


def clip_what_the_optimizer_has(net):
    """What a loop of one's own would write, with an optimizer of one's own."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return {
        "optimizer": lambda _: optimizer,
        "adjust": lambda: [clip_grad_norm_(group["params"], 0.1) for group in optimizer.param_groups] and None,
    }


def mask(net):
    kept = {p: torch.rand(p.shape) < 0.5 for p in net.parameters()}
    return {"adjust": lambda: [p.grad.mul_(part) for p, part in kept.items()] and None}


def replace_gradients(net):
    def adjust():
        for p in net.parameters():
            p.grad = 2 * p.grad

    return {"adjust": adjust}


def drop_a_gradient(net):
    def adjust():
        net.fc.bias.grad = None

    return {"adjust": adjust}


def teacher(net):
    original = copy.deepcopy(net).eval().requires_grad_(False)
    return {
        "loss": lambda logits, inputs, targets: F.mse_loss(logits, original(inputs)),
        "augment": gaussian_noise(0.1),
    }


def penalty(net):
    def loss(logits, inputs, targets):
        return F.cross_entropy(logits, targets) + 1e-3 * sum(p.abs().sum() for p in net.parameters())

    return {"loss": loss}


def second_pass(net):
    """The network itself once more, in training mode, and without gradients in evaluation mode."""

    def loss(logits, inputs, targets):
        with torch.no_grad():
            wanted = net.eval()(inputs)
        net.train()
        return (
            F.cross_entropy(logits, targets)
            - 0.1 * F.cross_entropy(net(inputs + 1), targets)
            + F.mse_loss(logits, wanted)
        )

    return {"loss": loss}


def gradient_of_gradient(net):
    def loss(logits, inputs, targets):
        value = F.cross_entropy(logits, targets)
        slopes = torch.autograd.grad(value, [net.fc.weight, net.conv1.weight], create_graph=True)
        return value + 0.1 * sum(slope.square().sum() for slope in slopes)

    return {"loss": loss}


def groups(net):
    return {
        "optimizer": lambda ps: torch.optim.SGD([{"params": ps[:4], "weight_decay": 0.1}, {"params": ps[4:]}], lr=0.1)
    }


ASKED = {
    "nothing more": lambda net: {},
    "padding and mirroring": lambda net: {"augment": partial(flip_and_crop, padding=2)},
    "no momentum": lambda net: {"momentum": 0.0},
    "Nesterov": lambda net: {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True)},
    "Adam": lambda net: {"lr": 1e-3, "optimizer": torch.optim.Adam},
    "AdamW, amsgrad": lambda net: {"lr": 1e-3, "optimizer": partial(torch.optim.AdamW, amsgrad=True)},
    "RMSprop": lambda net: {"lr": 1e-4, "optimizer": torch.optim.RMSprop},
    "two groups of parameters": groups,
    "clipping": clip,
    "clipping what the optimizer has": clip_what_the_optimizer_has,
    "masking": mask,
    "other gradients": replace_gradients,
    "no gradient for one": drop_a_gradient,
    "teacher": teacher,
    "a penalty on the parameters": penalty,
    "a second pass": second_pass,
    "a gradient of the gradient": gradient_of_gradient,
    "frozen modules": lambda net: {"frozen": [net.conv1, net.bn1, net.layer1]},
    "a frozen end": lambda net: {"frozen": [net.layer3]},
    "some parameters": lambda net: {"parameters": [net.layer2.conv1.weight, net.fc.bias, *net.layer3.bn1.parameters()]},
    "part of an epoch": lambda net: {"epochs": 1.5},
}


@pytest.mark.parametrize("count", [45, 33], ids=["last batch of 13", "last batch of one"])
@pytest.mark.parametrize("asked", ASKED)
def test_a_training_leaves_what_the_eager_engine_leaves(make_images, make_loader, make_net, float64, asked, count):
    """In float64, to 1e-9: parameters, running statistics, gradients."""
    nets = []
    for engine, expected in (("auto", "rows"), ("eager", "eager")):
        torch.manual_seed(0)
        net = make_net().double()
        settings = {"epochs": 1, "lr": 0.05, **ASKED[asked](net)}
        with choosing(engine) as used:
            train(net, make_loader(make_images(count), 16), **settings)
        assert used == {expected}
        nets.append(net)
    assert largest_difference(*nets) < 1e-9
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        assert one.requires_grad and (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.allclose(one.grad, other.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("model", "size", "channels"), [("resnet8-thin", 8, 1), ("resnet8", 32, 3)])
def test_in_float32_the_difference_is_rounding(make_images, make_loader, make_net, model, size, channels):
    nets = [make_net(model, size, channels) for _ in range(2)]
    for net, engine in zip(nets, ("auto", "eager"), strict=True):
        with choosing(engine):
            train(net, make_loader(make_images(26, size, channels)), epochs=1, lr=0.05)
    assert 0 < largest_difference(*nets) < 1e-4


@pytest.mark.parametrize("kind", [partial(torch.optim.SGD, momentum=0.9), torch.optim.Adam])
def test_an_optimizer_of_the_methods_own_remembers_from_one_training_to_the_next(
    make_images, make_loader, make_net, float64, kind
):
    nets, memories = [], []
    for engines in (("auto", "auto", "auto"), ("eager", "auto", "eager"), ("eager", "eager", "eager")):
        net = make_net().double()
        optimizer = kind(net.parameters(), lr=0.01)
        for engine in engines:
            with choosing(engine):
                train(net, make_loader(make_images()), epochs=1, lr=0.01, optimizer=lambda _, own=optimizer: own)
        nets.append(net)
        memories.append(optimizer.state_dict())
    for net, memory in zip(nets, memories, strict=True):
        assert largest_difference(net, nets[-1]) < 1e-9 and memory["param_groups"] == memories[-1]["param_groups"]
        for number, each in memories[-1]["state"].items():
            for key, value in each.items():
                found = memory["state"][number][key]
                assert found.is_contiguous() and torch.allclose(found, value, rtol=0, atol=1e-9)


def test_a_training_gives_the_same_bits_again_whatever_ran_in_between(make_images, make_loader, make_net):
    def go():
        return train(make_net(), make_loader(make_images(45), 16), epochs=2, lr=0.1)

    one = go()
    train(make_net(seed=1), make_loader(make_images(100), 70), epochs=2, lr=0.1)
    with choosing("eager"):
        go()
    assert not changed(one, go())


@pytest.mark.parametrize("fails", [False, True])
def test_the_networks_tensors_are_in_their_own_memory_afterwards(make_images, make_loader, make_net, fails):
    net, seen = make_net(), []
    before = {name: (id(value), value.data_ptr()) for name, value in net.state_dict(keep_vars=True).items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def loss(logits, inputs, targets):
        seen.append(net.conv1.weight.data_ptr())
        if fails and len(seen) == 2:
            raise KeyError
        return F.cross_entropy(logits, targets)

    if fails:
        with pytest.raises(KeyError):
            train(net, make_loader(make_images()), epochs=1, lr=0.1, loss=loss, optimizer=lambda _: optimizer)
    else:
        train(net, make_loader(make_images()), epochs=1, lr=0.1, loss=loss, optimizer=lambda _: optimizer)
    assert before["conv1.weight"][1] not in seen
    assert {name: (id(v), v.data_ptr()) for name, v in net.state_dict(keep_vars=True).items()} == before
    assert all(value.is_contiguous() for value in net.state_dict().values()) and changed(net, make_net())
    assert optimizer.param_groups[0]["params"] == [*net.parameters()] == [*optimizer.state]


def test_a_tensor_that_is_put_in_the_place_of_another_is_trained(make_images, make_loader, make_net, float64):
    nets = []
    for engine in ("auto", "eager"):
        net = make_net().double()

        def adjust(net=net):
            net.fc.bias.data = net.fc.bias.data + 1
            net.bn1.running_mean = torch.zeros(8)

        with choosing(engine):
            nets.append(train(net, make_loader(make_images()), epochs=1, lr=0.1, adjust=adjust))
    assert largest_difference(*nets) < 1e-9


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_method_gives_what_it_gives_by_the_eager_engine(small_sets, make_loader, make_original, float64, name):
    method = ALGORITHMS[name]
    nets, carried = [], []
    for engine in ("auto", "eager"):
        sets = dict(zip(("retain", "forget", "validation"), small_sets, strict=True))
        with choosing(engine) as used:
            loaders = {each: make_loader(sets[each]) for each in method.reads}
            nets.append(run(method.function, make_original().double(), **loaders, **method.short))
        carried.append(used)
    assert carried in ([{"rows"}, {"eager"}], [set(), set()])
    assert largest_difference(*nets) < 1e-7


# --- where eager runs, bit for bit as if it had been chosen ---


class Unknown(nn.Module):
    """A network with something in it that the engine does not know. kind: what"""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.conv, self.norm, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 3)
        self.calls = 0
        if kind == "statistics that are not tracked":
            self.norm = nn.BatchNorm2d(8, track_running_stats=False)
        elif kind == "cumulative statistics":
            self.norm = nn.BatchNorm2d(8, momentum=None)
        elif kind == "group norm":
            self.norm = nn.GroupNorm(2, 8)
        elif kind == "groups":
            self.conv = nn.Sequential(self.conv, nn.Conv2d(8, 8, 3, groups=2))
        elif kind == "many channels":
            self.conv = nn.Sequential(nn.Conv2d(1, 128, 1), nn.Conv2d(128, 8, 1))
        elif kind == "a layer twice":
            self.conv = nn.Sequential(self.conv, *2 * [nn.Conv2d(8, 8, 1)])
        elif kind == "a shared weight":
            self.conv = nn.Sequential(self.conv, nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
            self.conv[2].weight = self.conv[1].weight
        elif kind == "a computed weight":
            weight_norm(self.conv)
        elif kind == "a hook":
            self.norm.register_forward_hook(lambda *_: None)
        elif kind == "a parameter's hook":
            self.fc.weight.register_hook(lambda gradient: 2 * gradient)
        elif kind == "another precision":
            self.fc = nn.Sequential(self.fc, Cast())

    def forward(self, x):
        if self.kind == "a branch on values" and x.mean() > 0:
            x = 2 * x
        if self.kind == "random numbers" and torch.rand(1) < 0.5 and random.random() < 0.5:
            x = x.relu()
        if self.kind == "a counter":
            self.calls += 1
            x = x.relu() if self.calls % 2 else x
        x = self.norm(self.conv(x))
        if self.kind == "dropout":
            x = F.dropout(x, 0.5, self.training)
        return self.fc(x.relu().mean((2, 3)))


class Cast(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return (x * self.scale).float()


UNKNOWN = [
    "statistics that are not tracked", "cumulative statistics", "group norm", "groups", "many channels",
    "a layer twice", "a shared weight", "a computed weight", "a hook", "a parameter's hook", "another precision",
    "a branch on values", "random numbers", "a counter", "dropout",
]  # fmt: skip


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_network_with_something_unknown_is_trained_eagerly(make_images, make_loader, kind):
    nets, carried = [], []
    for engine in ("auto", "eager"):
        torch.manual_seed(0)
        random.seed(0)
        net = Unknown(kind)
        with choosing(engine) as used:
            nets.append(train(net, make_loader(make_images()), epochs=1, lr=0.1))
        carried.append(used)
    assert carried == [{"eager"}, {"eager"}] and not changed(*nets)


def test_the_same_network_without_it_is_not(make_images, make_loader):
    with choosing("auto") as used:
        train(Unknown("nothing"), make_loader(make_images()), epochs=1, lr=0.1)
    assert used == {"rows"}


class Odd(nn.Module):
    """A network whose operations are known, but not how they are put together. way: how"""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.conv, self.norm, self.other = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.same, self.fc = nn.Identity(), nn.Linear(4, 3)

    def forward(self, x):
        return self.way(self, self.norm(self.conv(x)))


ODD = {
    "a kept dimension": lambda net, x: net.fc(x.mean((2, 3), keepdim=True).flatten(1)),
    "a mean over other dimensions": lambda net, x: net.fc(x.mean((1, 2))[:, :4]),
    "pooling": lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).flatten(1)),
    "flattening to a dimension": lambda net, x: net.fc(torch.flatten(x.mean((2, 3)), end_dim=-1).view(-1, 4)),
    "a norm added to itself": lambda net, x: net.fc(torch.relu(x + x).mean((2, 3))),
    "another name for a norm": lambda net, x: net.fc((net.same(x).relu() + x).mean((2, 3))),
    "a sum in place": lambda net, x: (lambda y: net.fc((operator.iadd(net.same(y), x) + y).mean((2, 3))))(net.other(x)),
    "a ReLU in place": lambda net, x: net.fc((F.relu(x, inplace=True) + net.other(x)).mean((2, 3))),
    "a branch that leads nowhere": lambda net, x: (net.other(x), net.fc(x.mean((2, 3))))[1],
    "logits that go on": lambda net, x: (lambda y: y + y.relu())(net.fc(x.mean((2, 3)))),
    "a sum of three": lambda net, x: net.fc((x + net.other(x) + torch.relu(x)).mean((2, 3))),
    "a factor": lambda net, x: net.fc(torch.add(x, net.other(x), alpha=2).mean((2, 3))),
    "ReLU of what is flat": lambda net, x: net.fc(torch.relu(x.mean((2, 3)))),
}


@pytest.mark.parametrize("way", ODD)
def test_an_oddly_built_network_is_trained_rightly_by_whichever_engine(make_images, make_loader, float64, way):
    nets = []
    for engine in ("auto", "eager"):
        torch.manual_seed(0)
        with choosing(engine):
            nets.append(train(Odd(ODD[way]), make_loader(make_images()), epochs=1, lr=0.1))
    assert largest_difference(*nets) < 1e-9
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        assert (one.grad is None) == (other.grad is None)


@pytest.mark.parametrize("last", [nn.Conv2d(4, 3, 8), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3))])
def test_what_is_not_flat_stays_so(make_images, last):
    net, inputs = nn.Sequential(nn.Conv2d(1, 4, 1), last).eval(), make_images(2).batch(slice(None))[0]
    assert inference(net, inputs) is net


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_other_precisions_run_eagerly(make_images, make_loader, make_net, precision):
    nets = []
    for engine in ("auto", "eager"):
        with choosing(engine) as used, torch.autocast("cpu", precision, cache_enabled=False):
            nets.append(train(make_net(), make_loader(make_images()), epochs=1, lr=0.1))
        assert used == {"eager"}
    assert not changed(*nets)


def test_inputs_that_need_gradients_run_eagerly(make_images, make_loader, make_net):
    nets = []
    for engine in ("auto", "eager"):
        with choosing(engine) as used:
            augment = lambda inputs: inputs.clone().requires_grad_()  # noqa: E731
            nets.append(train(make_net(), make_loader(make_images()), epochs=1, lr=0.1, augment=augment))
        assert used == {"eager"}
    assert not changed(*nets)


def test_a_batch_that_the_plan_does_not_fit_is_computed_eagerly_among_others(
    make_images, make_loader, make_net, float64
):
    """Every second batch is of 6 × 6 pixels."""
    nets = []
    for engine in ("auto", "eager"):
        seen: list[int] = []

        def smaller(inputs, seen=seen):
            seen.append(len(inputs))
            return inputs[..., :6, :6] if len(seen) % 2 == 0 else inputs

        net = make_net().double()
        with choosing(engine):
            nets.append(train(net, make_loader(make_images()), epochs=2, lr=0.1, augment=smaller))
    assert largest_difference(*nets) < 1e-9


def test_one_value_a_channel_is_refused_as_pytorch_does(make_images, make_loader):
    net = nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.Flatten())
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        train(net, make_loader(make_images(3), 1), epochs=1, lr=0.1)


# --- inference ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inference_gives_the_networks_logits_and_follows_its_values(make_images, make_net, dtype):
    net = make_net().to(dtype).eval()
    inputs = make_images(200).batch(slice(None))[0].to(dtype)
    forward = inference(net, inputs[:1])
    assert forward is not net
    for seed in range(2):
        net.load_state_dict(make_net(seed=seed).state_dict())
        with torch.inference_mode():
            torch.testing.assert_close(forward(inputs), make_net(seed=seed).to(dtype).eval()(inputs))
    assert torch.equal(forward(inputs[:, :, 1:]), net(inputs[:, :, 1:]))


def test_inference_of_an_unknown_network_is_the_network(make_images):
    net = Unknown("group norm").eval()
    assert inference(net, make_images(2).batch(slice(None))[0]) is net


def test_a_network_in_training_mode_is_asked_itself(make_images, make_net):
    inputs, net = make_images(200).batch(slice(None))[0], make_net().eval()
    forward = rows.inference(net, inputs)
    net.train()
    assert rows.inference(net, inputs) is None and torch.equal(forward(inputs), make_net().train()(inputs))
