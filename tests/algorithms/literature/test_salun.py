"""The saliency mask, and what training does within it and outside."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from forget512.algorithms.literature.salun import saliency_mask, salun
from support.running import accuracy_of, changed, loss_of, run


def gradient(net, images) -> torch.Tensor:
    """|∇ CE| over all images at once, all parameters in one row."""
    inputs, targets = images.batch(slice(None))
    F.cross_entropy(net.eval()(inputs), targets).backward()
    return torch.cat([p.grad.abs().flatten() for p in net.parameters()])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_mask_holds_exactly_the_share_of_weights_with_the_largest_gradients(
    small_sets, make_loader, make_original, share
):
    _, forget, _ = small_sets
    net = make_original()
    mask = saliency_mask(net, make_loader(forget, 4), share)
    flat = torch.cat([mask[p].flatten() for p in net.parameters()])
    assert all(mask[p].shape == p.shape for p in net.parameters())
    assert flat.sum() == round(share * len(flat))
    if 0 < share < 1:
        size = gradient(make_original(), forget)
        assert size[flat].min() >= size[~flat].max() * (1 - 1e-3)  # in batches of 4 the sum is rounded otherwise


def test_the_mask_leaves_the_network_as_it_was(small_sets, make_loader, make_original):
    net = make_original().train()
    saliency_mask(net, make_loader(small_sets[1]), 0.5)
    assert net.training and not changed(net, make_original()) and all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_no_weight_outside_the_mask_changes_by_a_bit_and_those_inside_do(
    small_sets, make_loader, make_original, momentum
):
    retain, forget, _ = small_sets
    net, start = make_original(), make_original()
    mask = [m.clone() for m in saliency_mask(net, make_loader(forget), 0.3).values()]
    run(salun, net, make_loader(retain), make_loader(forget), share=0.3, epochs=3, momentum=momentum, weight_decay=0.01)
    inside, moved = 0, 0
    for new, old, salient in zip(net.parameters(), start.parameters(), mask, strict=True):
        assert torch.equal(new[~salient], old[~salient])
        inside, moved = inside + salient.sum(), moved + (new != old).sum()
    assert moved > 0.95 * inside


def test_weight_decay_acts_within_the_mask(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    one, other = (
        run(salun, make_original(), make_loader(retain), make_loader(forget), epochs=1, weight_decay=decay)
        for decay in (0.0, 0.1)
    )
    assert changed(one, other)


def test_it_forgets_and_remembers(small_sets, make_loader, make_original):
    retain, forget, _ = small_sets
    net = run(salun, make_original(), make_loader(retain), make_loader(forget), epochs=20, lr=0.05, momentum=0.9)
    assert accuracy_of(net, forget) < 0.5 and accuracy_of(net, retain) > 0.9
    assert loss_of(net, forget) > 10 * loss_of(make_original(), forget)


@pytest.mark.parametrize("share", [-0.5, 50])
def test_a_share_that_is_none_is_refused(make_original, share):
    with pytest.raises(ValueError, match=f"share={share} is not a share: give a number from 0 to 1"):
        run(salun, make_original(), share=share)
