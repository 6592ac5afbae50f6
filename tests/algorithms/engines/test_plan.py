"""Reading networks as tables of operations."""

from __future__ import annotations

import torch
from torch import nn

from forget512.algorithms.engines import kernels, plan
from forget512.algorithms.engines.choice import prepare
from forget512.algorithms.engines.plan import structure


def plan_of(net, shape):
    return plan.plan_of(net, shape, lambda *_: True)


def test_networks_of_one_structure_share_a_plan_and_others_do_not(make_net):
    prepare(make_net(), torch.zeros(2, 1, 8, 8))
    for net in (make_net(seed=1).train(), make_net(seed=2).eval()):
        assert plan_of(net, (1, 8, 8)) is plan_of(make_net().train(net.training), (1, 8, 8)) is not None
    first = plan_of(make_net(), (1, 8, 8))
    frozen = make_net()
    frozen.conv1.weight.requires_grad_(False)
    partly = make_net()
    partly.bn1.eval()
    for other in (plan_of(make_net(), (1, 9, 8)), plan_of(frozen, (1, 8, 8)), plan_of(partly, (1, 8, 8))):
        assert other is not None and other is not first


def test_norms_take_the_sums_and_relus_behind_them_along(make_net):
    table = plan_of(make_net(), (1, 8, 8)).table
    kinds = table[:, kernels.KIND].tolist()
    assert kinds.count(kernels.CONVOLUTION) == 10 and kinds.count(kernels.NORM) == 9
    assert kinds.count(kernels.SUM) == 0 and kinds.count(kernels.MEAN) == 1
    assert (table[:, kernels.R] >= 0).sum() == 3 and (table[:, kernels.RELU] == 1).sum() == 7


def test_nothing_is_computed_back_to_what_is_frozen(make_net):
    net = make_net()
    for module in (net.conv1, net.bn1, net.layer1):
        module.requires_grad_(False)
    table = plan_of(net, (1, 8, 8)).table
    assert (table[:, kernels.SLOPE] == 1).sum() == len(table) - 6


def test_an_attribute_that_does_not_show_what_it_is_means_no_plan(make_net):
    net = make_net()
    net.settings = {"depth": 3}
    assert structure(net) is None and plan_of(net, (1, 8, 8)) is None
    net.settings = [3, "deep"]
    assert structure(net) != structure(make_net()) and plan_of(net, (1, 8, 8)) is not None


def test_a_trace_leaves_the_network_and_the_generators_as_they_were():
    class Counting(nn.Sequential):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * torch.rand(1)

    net, state = Counting(nn.Conv2d(1, 4, 3)), torch.get_rng_state()
    assert plan_of(net, (1, 3, 3)) is None
    assert net.calls == 0 and torch.equal(torch.get_rng_state(), state)
