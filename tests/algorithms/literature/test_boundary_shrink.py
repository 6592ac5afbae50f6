"""Boundary shrink: its labels, and what learning them does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from forget512.algorithms.baselines.retrain import retrain
from forget512.algorithms.literature.boundary_shrink import boundary_shrink, nearest_classes


@pytest.fixture(scope="module")
def original(make_images, make_loader, make_net):
    """A network that knows its images, in evaluation mode."""
    torch.manual_seed(0)
    return retrain(make_net(), make_loader(make_images()), None, None, epochs=10, padding=0).eval()


@pytest.mark.parametrize("bound", [0.0, 0.1, 1.0])
def test_labels_are_those_of_fgsm_image_by_image_and_never_the_true_class(make_images, original, bound):
    inputs, targets = make_images().batch(slice(None))
    found = nearest_classes(original, inputs, targets, bound)
    assert (found != targets).all()
    for image, target, label in zip(inputs, targets, found, strict=True):
        image = image[None].clone().requires_grad_()
        F.cross_entropy(original(image), target[None]).backward()
        logits = original(image + bound * image.grad.sign())[0]
        others = [c for c in range(3) if c != target]
        assert label == max(others, key=lambda c: logits[c].item())


def test_the_bound_is_in_normalised_pixels(make_images, original):
    """A step of ε raises the loss by about ε |∇|₁."""
    inputs, targets = make_images().batch(slice(None))
    seen = []
    hook = original.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    nearest_classes(original, inputs, targets, 0.25)
    hook.remove()
    clean, moved = seen
    assert torch.equal(clean, inputs)
    assert torch.allclose((moved - clean).abs(), torch.full_like(clean, 0.25), atol=1e-6)


def test_the_forget_set_becomes_its_neighbours_which_it_was_not_before(make_images, make_loader, make_net, original):
    images = make_images()
    inputs, targets = images.batch(slice(None))
    forgotten = type(images)(images.pixels[:3], images.targets[:3], [120.0], [70.0])
    net = make_net()
    net.load_state_dict(original.state_dict())
    neighbours = nearest_classes(original, inputs[:3], targets[:3], 0.1)
    torch.manual_seed(0)
    boundary_shrink(net, None, make_loader(forgotten), None, epochs=10, lr=0.01)
    with torch.no_grad():
        said = net.train()(inputs[:3]).argmax(1)  # by the statistics that it was trained with
    assert torch.equal(said, neighbours)
    assert (original(inputs[:3]).argmax(1) == targets[:3]).all()


def test_labels_stay_those_of_the_original_while_the_network_moves(make_images, make_loader, make_net, original):
    """With two epochs as with one: the second epoch's labels do not flip back."""
    images = make_images(3)
    inputs, targets = images.batch(slice(None))
    labels = nearest_classes(original, inputs, targets, 0.1)
    net = make_net()
    net.load_state_dict(original.state_dict())
    torch.manual_seed(0)
    boundary_shrink(net, None, make_loader(images), None, epochs=40, lr=0.01)
    with torch.no_grad():
        assert F.cross_entropy(net.train()(inputs), labels) < 0.1
