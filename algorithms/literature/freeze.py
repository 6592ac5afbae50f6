"""CF-k and EU-k (Goel, Prabhu, Sanyal, Lim, Torr, Kumaraguru 2022): unlearn in the last blocks alone."""

from collections.abc import Sequence

from torch import nn
from torch.utils.data import DataLoader

from forget512.algorithms.tools.layers import classifier
from forget512.algorithms.tools.teachers import renew
from forget512.algorithms.training import stepped, train


def cf_k(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    k: int = 1,
    epochs: float = 10,
    lr: float = 0.01,
    decays: Sequence[float] = (0.5, 0.8),
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Catastrophically forget the last k blocks: train them and the classifier on the retain set, freeze all else.

    Cross-entropy by SGD ("Towards adversarial evaluations for inexact machine unlearning"); the forget set is never
    read. The frozen part (see `split`) is unchanged bit for bit, including the running statistics of its batch norms.

    k: blocks that are trained besides the classifier; 0 for the classifier alone
    decays: shares of the epochs after which lr falls to a tenth (when they fall is not published: assumed)

    Raises:
        ValueError: net has no linear layer, or fewer blocks than k before the classifier.
    """
    frozen, trained = split(net, k)
    return train(
        net,
        retain,
        epochs=epochs,
        lr=lr,
        schedule=stepped([share * epochs for share in decays], 0.1),
        parameters=[parameter for module in trained for parameter in module.parameters()],
        frozen=frozen,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def eu_k(
    net: nn.Module,
    retain: DataLoader,
    forget: DataLoader,
    validation: DataLoader,
    *,
    k: int = 1,
    epochs: float = 20,
    lr: float = 0.01,
    decays: Sequence[float] = (0.5, 0.8),
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    """Exactly unlearn the last k blocks: re-initialise them and the classifier, then `cf_k`.

    Their batch norms are also reset; layers are drawn by `reinitialise`, whatever the network's own initialisation. The
    trained part then never saw the forget set, which is never read; with k = all blocks this is retraining, except for
    the recipe. It has more epochs than cf_k, as in the paper (how many: assumed).

    Raises:
        ValueError: as cf_k, or a layer of these blocks holds weights and has no reset_parameters().
    """
    renew(*split(net, k)[1])
    return cf_k(
        net,
        retain,
        forget,
        validation,
        k=k,
        epochs=epochs,
        lr=lr,
        decays=decays,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def split(net: nn.Module, k: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """Split the children of net into those that cf_k freezes, before a cut, and those that it trains, after it.

    A block begins with each child that holds a convolution or a linear layer, and includes the children up to the next
    one (norms, activations): conv1 + bn1, layer1 … layer4, fc of a ResNet; convolution + norm + activation of an
    nn.Sequential. Children are in the order in which net declares them. A net that only wraps one child counts as that
    child; weights that net owns outside its children are unchanged. The classifier's block holds the last linear layer,
    and everything after it is trained too.

    Raises:
        ValueError: net has no linear layer, or fewer blocks than k before the classifier.
    """
    children = list(net.children())
    while len(children) == 1 and list(children[0].children()):
        children = list(children[0].children())
    last_linear = classifier(net)
    starts = [
        place
        for place, child in enumerate(children)
        if any(isinstance(module, nn.Conv2d | nn.Linear) for module in child.modules())
    ]
    last = max(i for i, start in enumerate(starts) if last_linear in set(children[start].modules()))
    if not 0 <= k <= last:
        raise ValueError(f"k={k}: this network has {last} blocks before its classifier; give 0 to {last}")
    cut = 0 if k == last else starts[last - k]
    return children[:cut], children[cut:]
