"""UNSIR (Tarun, Chundawat, Mandal, Kankanhalli 2023): impair with noise that a class can't explain, then repair."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.checks import check_whole
from forget512.algorithms.training import batches, train


def unsir(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    epochs: Sequence[float] = (1.0, 1.0),
    lr: Sequence[float] = (0.02, 0.01),
    noise_images: int = 256,
    noise_steps: int = 40,
    noise_lr: float = 0.1,
    noise_penalty: float = 0.1,
    noise_ratio: float = 0.57,
) -> nn.Module:
    """Learn error-maximising noise for the classes to forget, impair with it, repair on the retain set.

    noise: images N that minimise -CE(f(N), y) + λ |N|², from N(0, 1), for each class y to forget ("Fast yet
           effective machine unlearning"): `error_maximising_noise`
    impair: train on retain images and noise together, the noise labelled y: y comes to mean nothing
    repair: train on retain images alone
    Both by cross-entropy and Adam without weight decay, to which the published learning rates belong.

    The method forgets whole classes. Of the forget set it uses the classes that occur and no image, so that one image
    stands for its class. When the retain set holds those classes too (a random forget set: all of them, as a rule),
    noise is learned for each and all are impaired, while the retain images of the same batches counteract it; the
    network then forgets the forget images only as far as the retain set does not restore them. This was decided here,
    since the published method does not cover the case. All retain images are used; the paper takes a part of them.

    epochs, lr: of impairing and of repairing
    noise_images: by class. noise_steps, noise_lr: Adam's, five passes of eight in the authors' program
    noise_penalty: λ; |N|² is summed over an image's normalised pixels
    noise_ratio: noise images a retain image while impairing: 20 × 256 to 9 × 1,000 there

    Raises:
        ValueError: epochs or lr are not two, or a count is below 1.
    """
    if len(epochs) != 2 or len(lr) != 2:
        raise ValueError(f"epochs={tuple(epochs)} and lr={tuple(lr)}: give two of each, to impair and to repair")
    check_whole("noise_images", noise_images, 1)
    check_whole("noise_steps", noise_steps, 1)
    device = next(net.parameters()).device
    seen = [(inputs.shape[1:], targets) for inputs, targets in batches(forget, device)]
    classes = torch.cat([targets for _, targets in seen]).unique()
    labels = classes.repeat_interleave(noise_images)
    noise = torch.cat(
        [
            error_maximising_noise(net, targets, seen[0][0], noise_steps, noise_lr, noise_penalty)
            for targets in labels.split(noise_images)
        ]
    )
    chosen = torch.empty(0, dtype=torch.int64)

    def join_noise(inputs):
        nonlocal chosen
        chosen = torch.randint(len(noise), (max(1, round(noise_ratio * len(inputs))),), device=device)
        return torch.cat([inputs, noise[chosen]])

    def labelled(logits, inputs, targets):
        return F.cross_entropy(logits, torch.cat([targets, labels[chosen]]))

    impair, repair = epochs
    train(net, retain, epochs=impair, lr=lr[0], optimizer=torch.optim.Adam, augment=join_noise, loss=labelled)
    return train(net, retain, epochs=repair, lr=lr[1], optimizer=torch.optim.Adam)


def error_maximising_noise(
    net: nn.Module, targets: Tensor, shape: Sequence[int], steps: int, lr: float, penalty: float
) -> Tensor:
    """Learn images (b, channels, H, W), one for each target, that net assigns to other classes.

    net is used in evaluation mode and is unchanged.
    """
    net.eval()
    noise = torch.randn(len(targets), *shape, device=targets.device).requires_grad_()
    adam = torch.optim.Adam([noise], lr=lr)
    for _ in range(steps):
        loss = penalty * noise.square().sum((1, 2, 3)).mean() - F.cross_entropy(net(noise), targets)
        (noise.grad,) = torch.autograd.grad(loss, [noise])
        adam.step()
    return noise.detach()
