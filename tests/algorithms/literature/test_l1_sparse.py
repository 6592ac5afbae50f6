"""Fine-tuning under an L1 penalty that fades."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from forget512.algorithms.baselines.finetune import finetune
from forget512.algorithms.literature.l1_sparse import l1_sparse
from forget512.algorithms.training import batches
from support.running import accuracy_of, changed, run


def size(net) -> float:
    return sum(p.abs().sum().item() for p in net.parameters())


def test_the_penalty_makes_the_weights_smaller_than_fine_tuning_does(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    sizes = [
        size(run(l1_sparse, make_original(), make_loader(retain), gamma=gamma, epochs=5)) for gamma in (0, 5e-3, 5e-2)
    ]
    assert sizes[0] > sizes[1] > sizes[2] and sizes[2] < 0.95 * sizes[0]


def test_without_a_penalty_it_is_fine_tuning(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    one = run(l1_sparse, make_original(), make_loader(retain), gamma=0.0, epochs=2)
    other = run(finetune, make_original(), make_loader(retain), epochs=2, lr=0.01)
    assert not changed(one, other)


def test_it_remembers_the_retain_set(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    assert accuracy_of(run(l1_sparse, make_original(), make_loader(retain)), retain) > 0.9


def test_gamma_falls_linearly_to_0_as_in_a_plain_loop(small_sets, make_loader, make_original):
    retain, _, _ = small_sets
    epochs, gamma = 3, 0.01
    found = run(l1_sparse, make_original(), make_loader(retain), gamma=gamma, epochs=epochs, lr=0.02)
    net, loader = make_original().train(), make_loader(retain)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4, fused=True)
    weights = []
    for epoch in range(epochs):
        for step, (inputs, targets) in enumerate(batches(loader)):
            done = (epoch + step / len(loader)) / epochs
            optimizer.param_groups[0]["lr"] = 0.02 * 0.5 * (1 + math.cos(math.pi * done))
            weights.append(gamma * (1 - done))
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), targets) + weights[-1] * sum(p.abs().sum() for p in net.parameters())
            loss.backward()
            optimizer.step()
    assert weights[0] == gamma and weights[-1] < gamma / 11
    pairs = zip(found.parameters(), net.parameters(), strict=True)
    assert all(torch.allclose(p, q, rtol=1e-5, atol=1e-7) for p, q in pairs)
