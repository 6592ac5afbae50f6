"""Replayed steps against a plain loop's, to the last bit; what is not recorded, and recordings that fail.

On the CPU with a stand-in for the graph (`support/recording.py`). Tests that are marked `gpu` use CUDA's.
"""

from __future__ import annotations

import copy
import math
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from forget512.algorithms import ALGORITHMS
from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.engines.cuda_graph import FEWEST, WARM_UP
from forget512.algorithms.tools.inputs import cutout, gaussian_noise, random_crop, vertical_flip
from forget512.algorithms.training import Images, cosine, flip_and_crop, train
from support.recording import recorder
from support.running import changed, differences, run
from support.small_maps import SmallMaps

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01, fused=True)
EPOCHS, STEPS, SHORT = 14, 56, 14  # 26 images in batches of 8: every fourth one has 2


def rounded(progress: float) -> float:
    """A cosine in float32, as which a graph has the learning rate: nothing else differs from a plain loop then."""
    return float(np.float32(0.1 * cosine(EPOCHS)(progress)))


def clip(net):
    def adjust():
        clip_grad_norm_(net.parameters(), 0.1)

    return {"adjust": adjust}


def drop_a_gradient(net):
    def adjust():
        net.fc.bias.grad = None

    return {"adjust": adjust}


def other_gradients(net):
    def adjust():
        for p in net.parameters():
            p.grad = 2 * p.grad

    return {"adjust": adjust}


def teacher(net):
    original = copy.deepcopy(net).eval().requires_grad_(False)
    return {
        "loss": lambda logits, inputs, targets: F.mse_loss(logits, original(inputs)),
        "augment": gaussian_noise(0.1),
    }


ASKED = {
    "nothing more": lambda net: {},
    "padding and mirroring": lambda net: {"augment": partial(flip_and_crop, padding=2)},
    "clipping": clip,
    "no gradient for one": drop_a_gradient,
    "other gradients": other_gradients,
    "teacher and noise": teacher,
    "frozen modules": lambda net: {"frozen": [net.conv1, net.bn1, net.layer1]},
    "some parameters": lambda net: {"parameters": [net.layer2.conv1.weight, net.fc.bias]},
}
OPTIMIZERS = {
    "momentum": SGD,
    "Nesterov": partial(SGD, nesterov=True),
    "no momentum": partial(SGD, momentum=0.0),
    "dampening": partial(SGD, dampening=0.3),
    "Adam": partial(torch.optim.Adam, lr=0.1, fused=True),
    "AdamW, amsgrad": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1, amsgrad=True, fused=True),
}


class Fit:
    """A network that was trained by a plain loop's steps, or with a graph; how it was."""

    def __init__(self, net, loader, graph: bool, asked=lambda net: {}, optimizer=SGD, engine="eager", **options):
        torch.manual_seed(0)
        random.seed(0)
        asks = {"epochs": EPOCHS, "lr": 1.0, "schedule": rounded, "replayable": True, **asked(net), **options}
        self.net = net
        self.optimizer = optimizer(list(asks.pop("parameters", net.parameters())))
        self.graph = recorder() if graph else None
        with choosing(engine, self.graph) as self.used:
            train(net, loader, optimizer=lambda _: self.optimizer, **asks)
        self.draw = torch.rand(1)

    def everything(self) -> list:
        """Values and layouts: the network's, gradients', what the optimizer remembers, the next draw."""
        parameters = list(self.net.parameters())
        kept = [self.optimizer.state[p][key] for p in parameters for key in sorted(self.optimizer.state.get(p, {}))]
        tensors = [*self.net.state_dict().values(), *(p.grad for p in parameters), *kept, self.draw]
        lrs = [(type(group["lr"]), group["lr"], group.get("capturable")) for group in self.optimizer.param_groups]
        return [*((None if t is None else (t.is_contiguous(), t.detach().flatten().tolist())) for t in tensors), lrs]


# --- the same to the last bit ---


@pytest.mark.parametrize("asked", ASKED)
def test_a_training_leaves_what_a_plain_loop_leaves(make_images, make_loader, make_net, asked):
    """Parameters, running statistics, gradients, momentum, draws; with a short batch at the end of each epoch."""
    eager, graph = (Fit(make_net(), make_loader(make_images()), way, ASKED[asked]) for way in (False, True))
    assert graph.used == {"cuda_graph", "eager"} and eager.used == {"eager"}
    assert (graph.graph.warm_ups, graph.graph.replays) == (WARM_UP, STEPS - SHORT - WARM_UP)
    assert graph.graph.released and graph.everything() == eager.everything()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_do_the_same(make_images, make_loader, make_net, name):
    eager, graph = (
        Fit(make_net(), make_loader(make_images()), way, optimizer=OPTIMIZERS[name]) for way in (False, True)
    )
    assert "cuda_graph" in graph.used and graph.everything() == eager.everything()


@pytest.mark.parametrize(("count", "epochs"), [(24, 18), (25, 18), (27, 18), (26, 13.5)])
def test_gradients_of_the_last_step_stay_whichever_way_it_went(make_images, make_loader, make_net, count, epochs):
    """A last batch of 8, of 9 (a lone image joins the one before it), of 3, and of 8 after short ones."""
    eager, graph = (Fit(make_net(), make_loader(make_images(count)), way, epochs=epochs) for way in (False, True))
    assert "cuda_graph" in graph.used and graph.everything() == eager.everything()


def test_trainings_with_one_optimizer_keep_its_memory(make_images, make_loader, make_net):
    found = []
    for way in (False, True):
        net, loader = make_net(), make_loader(make_images())
        sgd = SGD(list(net.parameters()))
        fits = [Fit(net, loader, way, optimizer=lambda _, sgd=sgd: sgd) for _ in range(2)]
        assert not way or all("cuda_graph" in fit.used for fit in fits)
        found.append(fits[1].everything())
    assert found[0] == found[1]


def test_replays_get_the_batches_in_order_and_each_its_learning_rate(make_images, make_loader, make_net):
    images, seen = make_images(), torch.zeros(STEPS, dtype=torch.float64)

    def look(inputs):
        seen.copy_(torch.cat([seen[1:], inputs.double().sum()[None]]))
        return inputs

    fit = Fit(make_net(), make_loader(images), True, augment=look)
    loader = make_loader(images)
    expected = [images.batch(indices)[0].double().sum() for _ in range(EPOCHS) for indices in loader.batch_sampler]
    assert len(set(seen.tolist())) == STEPS and seen.tolist() == torch.stack(expected).tolist()
    full = [step for step in range(STEPS) if step % 4 < 3][WARM_UP:]
    assert fit.graph.rates == [rounded(step / 4) for step in full]


def test_the_learning_rate_is_rounded_to_float32(make_images, make_loader, make_net):
    fit = Fit(make_net(), make_loader(make_images()), True, schedule=lambda progress: 0.1 / (1 + progress))
    assert fit.graph.rates[0] == float(np.float32(0.1 / 2)) != 0.1 / 2
    assert fit.optimizer.param_groups[0]["lr"] == 0.1 / (1 + 13.75)


def test_steps_of_live_taps_are_replayed_like_others(make_loader):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (160, 8, 8, 3), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.arange(160) % 5, [120.0] * 3, [70.0] * 3)
    found = []
    for way in (False, True):
        torch.manual_seed(0)
        found.append(Fit(SmallMaps(), make_loader(images, 64), way, engine="auto", epochs=18))
    assert found[0].used == {"live_taps"} and found[1].used == {"cuda_graph", "live_taps"}
    assert found[0].everything() == found[1].everything()


@pytest.mark.parametrize("augment", [vertical_flip, random_crop, cutout, gaussian_noise(0.1)])
def test_inputs_that_methods_draw_are_drawn_as_in_a_plain_loop(make_images, make_loader, make_net, augment):
    eager, graph = (Fit(make_net(), make_loader(make_images()), way, augment=augment) for way in (False, True))
    assert "cuda_graph" in graph.used and graph.everything() == eager.everything()


NOT_REPLAYED = {
    *("original", "fisher", "ssd", "influence"),  # these do not train
    *("l1_sparse", "neggrad_plus"),  # they give each step a number or a batch of its own
    *("bad_teacher", "unsir"),  # their Adam is not fused
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_methods_say_is_replayable_is(make_images, make_loader, make_original, monkeypatch, name):
    """Replays of operations alone leave what the method leaves, to the last bit, if they begin after five steps."""
    monkeypatch.setattr("forget512.algorithms.engines.cuda_graph.FEWEST", WARM_UP + 2)
    method, graph, found = ALGORITHMS[name], recorder(), []
    for way in (None, graph):
        sets = {"retain": make_images(26), "forget": make_images(26), "validation": make_images(24, seed=2)}
        loaders = {s: make_loader(sets[s], 4) for s in method.reads}
        with choosing("eager", way) as used:
            found.append(run(method.function, make_original(), **loaders, **method.short))
    assert ("cuda_graph" in used) == (graph.replays > 0) == (name not in NOT_REPLAYED)
    assert not changed(*found)


def test_a_replay_repeats_the_numbers_of_the_recorded_step(make_images, make_loader, make_net):
    """So a loss that counts must not be called replayable; and the test above would find it."""
    found = []
    for way in (False, True):
        calls = []

        def loss(logits, inputs, targets, calls=calls):
            calls.append(targets)
            return F.cross_entropy(logits, targets) / len(calls)

        found.append(Fit(make_net(), make_loader(make_images()), way, loss=loss))
    assert "cuda_graph" in found[1].used and differences(found[0].net, found[1].net) > 1e-3


# --- what is not recorded ---


def hooked(net):
    net.layer1.register_forward_hook(lambda *_: None)
    return {}


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (lambda net: {}, {"epochs": (FEWEST - 1) / 4}),
        (lambda net: {}, {"optimizer": partial(SGD, fused=False)}),
        (lambda net: {}, {"optimizer": torch.optim.Adam}),
        (lambda net: {}, {"optimizer": torch.optim.RMSprop}),
        (hooked, {}),
        (clip, {"replayable": None}),
        (teacher, {"replayable": None}),
        (lambda net: {}, {"augment": lambda inputs: inputs, "replayable": None}),
    ],
    ids=["few steps", "SGD", "Adam", "RMSprop", "a hook", "adjust", "a loss", "an augmentation"],
)
def test_steps_are_carried_out_one_by_one(make_images, make_loader, make_net, asked, options):
    eager, graph = (Fit(make_net(), make_loader(make_images()), way, asked, **options) for way in (False, True))
    assert graph.used == {"eager"} and graph.graph.replays == 0
    assert graph.everything() == eager.everything()


@pytest.mark.parametrize(("cached", "used"), [(True, {"eager"}), (False, {"cuda_graph", "eager"})])
def test_casts_that_autocast_keeps_are_not_recorded(make_images, make_loader, make_net, cached, used):
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
        assert Fit(make_net(), make_loader(make_images()), True).used == used


def test_a_cpu_records_nothing(make_images, make_loader, make_net):
    with choosing("auto") as used:
        train(make_net(), make_loader(make_images()), epochs=EPOCHS, lr=0.1)
    assert used == {"rows"}


def test_plain_trainings_are_replayable_without_being_told(make_images, make_loader, make_net):
    assert "cuda_graph" in Fit(make_net(), make_loader(make_images()), True, replayable=None).used


# --- recordings that fail ---


def fail_in(part):
    """A method that cannot be recorded, by what is there on a GPU when one of its parts needs a number on the host."""

    def asked(net):
        def needs_a_number():
            net.eval()
            random.random()
            if any(graph.recording for graph in recorders):
                raise RuntimeError("operation not permitted when stream is capturing")
            net.train()

        def augment(inputs):
            inputs = inputs + 0.1 * torch.randn(inputs.shape)
            if part == "augment":
                needs_a_number()
            return inputs

        def loss(logits, inputs, targets):
            if part == "loss":
                needs_a_number()
            return F.cross_entropy(logits, targets)

        def adjust():
            for p in net.parameters():
                p.grad.mul_(0.5)
            if part == "adjust":
                needs_a_number()

        return {"augment": augment, "loss": loss, "adjust": adjust}

    return asked


recorders: list = []


@pytest.mark.parametrize("part", ["augment", "loss", "adjust", "step"])
def test_a_recording_that_fails_leaves_nothing(make_images, make_loader, make_net, part):
    """Even if all of the step up to there was not recorded but done."""
    tried = []

    class Failing:
        recording = False
        usable = classmethod(lambda cls, device: True)

        def __init__(self, device):
            recorders.append(Failing)

        def warm_up(self, work):
            work()

        def record(self, work):
            tried.append(work)
            Failing.recording = True
            try:
                work()
                raise RuntimeError("the end of the recording fails")
            finally:
                Failing.recording = False

    found = []
    for graph in (None, Failing):
        torch.manual_seed(0)
        random.seed(0)
        net = make_net()
        sgd = SGD(net.parameters())
        with choosing("eager", graph) as used:
            train(
                net,
                make_loader(make_images()),
                epochs=EPOCHS,
                lr=0.1,
                optimizer=lambda _, sgd=sgd: sgd,
                replayable=True,
                **fail_in(part)(net),
            )
        assert used == {"eager"} and net.training
        state = [*net.state_dict().values(), *(p.grad for p in net.parameters())]
        state += [sgd.state[p]["momentum_buffer"] for p in net.parameters()]
        found.append([*(t.tolist() for t in state), torch.rand(1).item(), random.random(), sgd.param_groups[0]["lr"]])
    assert len(tried) == 1 and found[0] == found[1]


@pytest.mark.parametrize("draw", [random.random, np.random.rand], ids=["Python", "NumPy"])
def test_a_step_that_draws_on_the_host_is_not_replayed(make_images, make_loader, make_net, draw):
    found = []
    for way in (False, True):
        np.random.seed(0)
        fit = Fit(make_net(), make_loader(make_images()), way, augment=lambda inputs: inputs * (1 + 0.1 * draw()))
        assert fit.used == {"eager"}
        found.append([fit.everything(), draw()])
    assert found[0] == found[1]


def test_an_exception_of_a_step_is_the_callers(make_images, make_loader, make_net):
    calls = []

    def loss(logits, inputs, targets):
        calls.append(len(calls))
        if len(calls) > 10:
            raise KeyError("a step's own")
        return F.cross_entropy(logits, targets)

    net = make_net()
    with pytest.raises(KeyError, match="a step's own"):
        Fit(net, make_loader(make_images()), True, loss=loss)
    assert all(p.is_contiguous() for p in net.parameters())


# --- on a GPU ---


@pytest.fixture
def cuda_images(make_images):
    """cuda_images(n, size, channels): as make_images, on the GPU."""

    def make(n, size=8, channels=1, seed=0):
        images = make_images(n, size, channels, seed)
        mean, std = images.mean.tolist(), images.std.tolist()
        return Images(images.pixels.cuda(), images.targets.cuda(), mean, std)

    return make


@pytest.fixture
def repeatable(monkeypatch):
    """As in a worker (`set_up_torch`)."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def train_on_gpu(graph: bool, net: nn.Module, loader: DataLoader, **options):
    torch.manual_seed(0)
    with choosing("auto" if graph else "eager") as used:
        train(net.cuda(), loader, optimizer=SGD, replayable=True, **options)
    assert ("cuda_graph" in used) == graph
    return net.cpu(), torch.rand(1, device="cuda").item()


@pytest.mark.gpu
@pytest.mark.parametrize("padding", [0, 2])
def test_on_a_gpu_digits_are_trained_to_the_same_bits(cuda_images, make_loader, make_net, repeatable, padding):
    """60 steps, by a learning rate that float32 has exactly; no engine but eager carries this network on CUDA."""
    augment = partial(flip_and_crop, padding=padding) if padding else None
    options = {"epochs": 15, "lr": 2.0**-4, "schedule": lambda p: 0.5 ** (p // 5), "augment": augment}
    found = [train_on_gpu(way, make_net(), make_loader(cuda_images(26)), **options) for way in (False, True, True)]
    assert not changed(found[0][0], found[1][0]) and not changed(found[1][0], found[2][0])
    assert found[0][1] == found[1][1] == found[2][1]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_a_resnet18_is_trained_to_the_same_bits(cuda_images, make_loader, make_net, repeatable, precision):
    """60 steps with live taps, recorded and not: what differs is the graph alone."""
    found = []
    for graph in (False, True):
        torch.manual_seed(0)
        net, images = make_net("resnet18", 32, 3).cuda(), cuda_images(4 * 128 - 28, 32, 3)
        sgd = SGD(net.parameters())
        bfloat16 = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)
        with bfloat16, choosing("auto") as used:
            train(
                net,
                make_loader(images, 128),
                epochs=15,
                lr=2.0**-6,
                optimizer=lambda _, sgd=sgd: sgd,
                augment=partial(flip_and_crop, padding=4),
                replayable=graph,
            )
        assert used == ({"live_taps", "cuda_graph"} if graph else {"live_taps"})
        found.append(net.cpu())
    assert not changed(*found)


@pytest.mark.gpu
def test_on_a_gpu_a_cosine_differs_by_its_rounding_to_float32(cuda_images, make_loader, make_net, repeatable):
    found = [
        train_on_gpu(way, make_net(), make_loader(cuda_images(26)), epochs=15, lr=0.01, schedule=cosine(15))
        for way in (False, True)
    ]
    assert differences(found[0][0], found[1][0]) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("name", ALGORITHMS)
def test_on_a_gpu_each_method_is_carried_out_and_repeats_itself(
    cuda_images, make_loader, make_net, repeatable, monkeypatch, name
):
    """As if every training had enough steps for a graph, which few images then show."""
    monkeypatch.setattr("forget512.algorithms.engines.cuda_graph.FEWEST", WARM_UP + 2)
    method, found = ALGORITHMS[name], []
    for engine in ("auto", "auto", "eager"):
        sets = {"retain": 40, "forget": 40, "validation": 24}
        loaders = {s: make_loader(cuda_images(n, seed=n), 4) for s, n in sets.items() if s in method.reads}
        with choosing(engine):
            found.append(run(method.function, make_net().cuda(), **loaders, **method.short))
    assert not changed(found[0], found[1])
    assert math.isfinite(differences(found[0], found[2]))


@pytest.mark.gpu
def test_on_a_gpu_a_number_on_the_host_makes_the_recording_fail_and_the_training_goes_on(
    cuda_images, make_loader, make_net, repeatable, monkeypatch
):
    monkeypatch.setattr("forget512.algorithms.engines.cuda_graph.CudaGraph.broken", False)

    def loss(logits, inputs, targets):
        value = F.cross_entropy(logits, targets)
        return value * (2 if value.item() > 1 else 1)

    found = []
    for engine in ("eager", "auto"):
        torch.manual_seed(0)
        net = make_net().cuda()
        augment = partial(flip_and_crop, padding=2)
        with choosing(engine) as used:
            train(net, make_loader(cuda_images(26)), epochs=15, lr=0.05, loss=loss, augment=augment, replayable=True)
        assert used == {"eager"}
        found.append((net.cpu(), torch.rand(1, device="cuda").item()))
    assert not changed(found[0][0], found[1][0]) and found[0][1] == found[1][1]
