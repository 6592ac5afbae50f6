"""The competition's 8th place (Ahn, Lee, Bae, Yim, Jung 2023), with each variant of its ablations as a switch."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.checks import check_whole
from forget512.algorithms.tools.information import diagonal_fisher
from forget512.algorithms.tools.inputs import cutout, gaussian_noise, random_crop, vertical_flip
from forget512.algorithms.tools.teachers import teacher_of
from forget512.algorithms.training import check_own_weight, cosine_by_epoch, reinitialise, train

POOLS = {
    "all": lambda layer: isinstance(layer, nn.Conv2d | nn.Linear),
    "no-fc": lambda layer: isinstance(layer, nn.Conv2d),
    "no-fc-no-shortcut": lambda layer: isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1),
}
INPUTS = {"clean": lambda inputs: inputs, "flip": vertical_flip, "crop": random_crop, "cutout": cutout, "noise": None}
LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "ce": None}


def forget_remember(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    selection: str = "random",
    unit: str = "layer",
    pool: str = "no-fc-no-shortcut",
    draws: Sequence[int] = (2, 2, 2),
    ratio: Sequence[float] = (),
    reset_norms: bool = False,
    loss: str = "mse",
    input: str = "noise",
    sigma: float = 0.01,
    epochs: Sequence[int] = (1, 2, 2),
    lr: Sequence[float] = (0.001,),
    t_max: int = 2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Forget by re-initialising layers at random, remember by imitating the original model (8th place, 1st algorithm).

    Each cycle has two halves (writeup, "Method"):
      forget: draw layers from the pool, with replacement, and re-initialise each ("stochastic re-initialisation"), as
              `reinitialise` does whatever the network's own initialisation (assumed).
      remember: minimise E |f_O(I') - f_U(I')|² over retain images I' = I + N(0, sigma²), where f_O are the original
              model's logits and f_U the current ones ("knowledge preserving loss").
    The loss is the mean over images and classes (assumed; as a squared norm it would be the sum over classes, which is
    as many times as large), for l1 as well. Assumed, too: SGD with momentum, which is reset in each cycle, and
    weight decay; batch norms in training mode.
    The forget set is read by selection='fim' alone.

    selection: of layers: random | fim (those with the largest mean diagonal Fisher information on the forget set: the
               same in every run) | none
    unit: layer | element: re-initialise whole layers, or the same share of the single weights of all of them
    pool: all (convolutions and linear layers) | no-fc | no-fc-no-shortcut (no 1 × 1 convolutions either)
    draws: layers drawn, by cycle. The writeup's "6 layers" is read as six over the three cycles: its tables give
           10, 20 and 30 % of the layers for 1, 2 and 3 cycles; (6, 6, 6) is the other reading
    ratio: share of the pool, by cycle, instead of draws (at least one layer)
    reset_norms: whether the norm that the network declares right after a re-initialised convolution is also reset (not
                 stated; assumed not)
    loss: mse | l1 (to the original model's logits on the same image) | ce (to the labels)
    input: clean | flip (vertical) | crop | cutout | noise (sigma, in units of normalised pixels: assumed)
    epochs: passes over the retain set, by cycle
    lr: one number, or one by cycle: the start of PyTorch's CosineAnnealingLR(t_max), stepped once an epoch and
        restarted in each cycle (assumed); or one by epoch, taken as they are

    Raises:
        ValueError: an unknown word, lists of lengths that do not fit, a count that is not one; a network without a
            layer in the pool or with one there that computes its weight; or reset_norms, and a convolution of the pool
            has no norm declared right after it.
    """
    for name, value, known in (
        ("selection", selection, ("random", "fim", "none")),
        ("unit", unit, ("layer", "element")),
        ("pool", pool, POOLS),
        ("loss", loss, LOSSES),
        ("input", input, INPUTS),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r}: choose one of {', '.join(known)}")
    for name, counts in (("draws", draws), ("epochs", epochs)):
        for count in counts:
            check_whole(name, count)
    layers = {name: layer for name, layer in net.named_modules() if POOLS[pool](layer)}
    shares = _by_cycle(draws, ratio, epochs, len(layers)) if selection != "none" else [0] * len(epochs)
    rates = _learning_rates(lr, epochs, t_max)
    if selection != "none":
        if not layers:
            raise ValueError(f"forget_remember re-initialises layers, and this network has none in the pool {pool!r}")
        for layer in layers.values():
            check_own_weight(layer)
    norms = _norms_behind(net, layers) if reset_norms else {}
    original = teacher_of(net)
    importance = diagonal_fisher(net, forget) if selection == "fim" else None
    distance = LOSSES[loss]
    augment = gaussian_noise(sigma) if input == "noise" else INPUTS[input]

    for share, cycle_epochs, cycle_rates in zip(shares, epochs, rates, strict=True):
        if unit == "layer":
            for name in _choose_layers(layers, share, importance):
                reinitialise(layers[name])
                if name in norms:
                    reinitialise(norms[name])
        elif share:
            _reinitialise_elements(layers, share, importance)
        train(
            net,
            retain,
            epochs=cycle_epochs,
            lr=1.0,
            schedule=lambda progress, rates=cycle_rates: rates[int(progress)],  # type: ignore[misc]
            loss=distance and (lambda logits, inputs, targets: distance(logits.float(), original(inputs).float())),
            augment=augment,
            momentum=momentum,
            weight_decay=weight_decay,
            replayable=True,
        )
    return net


def forget_remember_2(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    draws: Sequence[int] = (2, 2, 1, 1),
    epochs: Sequence[int] = (2, 1, 1, 1),
    lr: Sequence[float] = (0.0005, 0.001, 0.001, 0.001, 0.001),
    sigma: float = 0.01,
) -> nn.Module:
    """Four shorter forget-remember cycles with a learning rate for each epoch (8th place, 2nd algorithm).

    As `forget_remember`; six draws over its four cycles is our reading of "6 layers".
    """
    return forget_remember(net, retain, forget, validation, draws=draws, epochs=epochs, lr=lr, sigma=sigma)


def _by_cycle(draws: Sequence[int], ratio: Sequence[float], epochs: Sequence[int], layers: int) -> list[float]:
    """Return the share of the pool that each cycle re-initialises."""
    given = ratio or draws
    if len(given) != len(epochs):
        name = "ratio" if ratio else "draws"
        raise ValueError(f"{name}={tuple(given)} and epochs={tuple(epochs)}: give one of each for every cycle")
    if not ratio:
        return [count / max(layers, 1) for count in draws]
    if not all(0 < share <= 1 for share in ratio):
        raise ValueError(f"ratio={tuple(ratio)}: shares of the pool are above 0 and at most 1")
    return list(ratio)


def _learning_rates(lr: Sequence[float], epochs: Sequence[int], t_max: int) -> list[list[float]]:
    """Return one learning rate for each cycle and epoch."""
    if len(lr) == sum(epochs) > len(epochs):
        rates = iter(lr)
        return [[next(rates) for _ in range(count)] for count in epochs]
    if len(lr) not in (1, len(epochs)):
        raise ValueError(
            f"lr={tuple(lr)}: give one for all cycles, one for each of {len(epochs)}, or one for each of "
            f"{sum(epochs)} epochs"
        )
    starts = [*lr] if len(lr) == len(epochs) else [*lr] * len(epochs)
    return [
        [start * cosine_by_epoch(t_max)(epoch) for epoch in range(count)]
        for start, count in zip(starts, epochs, strict=True)
    ]


def _choose_layers(layers: dict[str, nn.Module], share: float, importance: dict[str, Tensor] | None) -> list[str]:
    """Choose layers by name: at random with replacement, or the most important ones."""
    names = list(layers)
    count = max(1, round(share * len(names))) if share else 0
    if importance is None:
        return [names[i] for i in torch.randint(len(names), (count,)).tolist()]
    return sorted(names, key=lambda name: -importance[f"{name}.weight"].mean().item())[:count]


def _reinitialise_elements(layers: dict[str, nn.Module], share: float, importance: dict[str, Tensor] | None) -> None:
    """Choose a share of the single weights of all layers: at random, or the most important ones."""
    if importance is not None:
        scores = torch.cat([importance[f"{name}.weight"].flatten() for name in layers])
        least = scores.sort(descending=True).values[max(1, round(share * len(scores))) - 1]
    for name, layer in layers.items():
        old = {key: value.detach().clone() for key, value in layer.named_parameters()}
        weight = old["weight"]
        if importance is None:
            mask = torch.rand(weight.shape, device=weight.device) < share
        else:
            mask = importance[f"{name}.weight"] >= least
        reinitialise(layer)
        with torch.no_grad():
            for key, value in layer.named_parameters():
                value.copy_(torch.where(mask, value, weight) if key == "weight" else old[key])


def _norms_behind(net: nn.Module, layers: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Find the norm of each convolution, the module that net declares right after it, by the convolution's name."""
    following = dict(pairwise(net.modules()))
    found = {}
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d):
            norm = following.get(layer)
            channels = getattr(norm, "num_features", getattr(norm, "num_channels", None))  # of batch and group norms
            if norm is None or channels != layer.out_channels:
                raise ValueError(
                    f"reset_norms=True: this network declares no norm of {layer.out_channels} channels right after its "
                    f"convolution {name}, so that it is unclear which one to reset: use reset_norms=False"
                )
            found[name] = norm
    return found
