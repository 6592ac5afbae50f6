"""Retain and forget set as one loader, for methods that give the forget images other labels."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from algorithms.training import Images


def joined(retain: DataLoader, forget: DataLoader, relabel: Callable[[Tensor], Tensor]) -> DataLoader:
    """The images of both, shuffled from torch's global generator, in batches of the retain loader's size.

    relabel: true labels of the forget images (n,) -> their new ones (n,), asked once. Retain images keep theirs.
    Over other data sets than `Images` it stays a loader of theirs: images come one by one as they give them.

    Raises:
        ValueError: the retain loader has a batch sampler of its own, and so no batch size.
    """
    if retain.batch_size is None:
        raise ValueError(
            "retain and forget set are joined in batches of the retain loader's batch_size, and this loader has none: "
            "make it with batch_size=…"
        )
    one, other = retain.dataset, forget.dataset
    both: Dataset
    if isinstance(one, Images) and isinstance(other, Images) and _alike(one, other):
        both = Images(
            torch.cat([one.pixels, other.pixels]),
            torch.cat([one.targets, relabel(other.targets)]),
            one.mean.tolist(),
            one.std.tolist(),
        )
    else:
        both = ConcatDataset([one, Relabelled(other, relabel)])
    return DataLoader(both, retain.batch_size, shuffle=True, collate_fn=retain.collate_fn)


def _alike(one: Images, other: Images) -> bool:
    return torch.equal(one.mean, other.mean) and torch.equal(one.std, other.std)


class Relabelled(Dataset):
    """Another data set's images with new labels."""

    def __init__(self, dataset: Dataset, relabel: Callable[[Tensor], Tensor]):
        self.dataset = dataset
        true = [int(dataset[i][1]) for i in range(len(dataset))]  # type: ignore[arg-type]
        self.targets = relabel(torch.tensor(true)).tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.dataset[index][0], self.targets[index]
