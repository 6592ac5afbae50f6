"""Joins retain and forget set to one loader, for methods that change the forget images' labels."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from forget512.algorithms.tools.sampled import images_of
from forget512.algorithms.training import Images


def joined(retain: DataLoader, forget: DataLoader, relabel: Callable[[Tensor], Tensor]) -> DataLoader:
    """Join the images of a pass over each loader, shuffled by torch's global generator, in batches of retain's size.

    relabel: true labels of the forget images (n,) -> new labels (n,), called once. Retain images keep their labels. For
    data sets other than `Images`, the result is a loader that reads their images one by one.

    Raises:
        ValueError: a loader does not state the order of its images, see `order`.
    """
    one, other = retain.dataset, forget.dataset
    retained, forgotten = images_of(retain), images_of(forget)
    both: Dataset
    if isinstance(one, Images) and isinstance(other, Images) and _alike(one, other):
        both = Images(
            torch.cat([one.pixels[retained], other.pixels[forgotten]]),
            torch.cat([one.targets[retained], relabel(other.targets[forgotten])]),
            one.mean.tolist(),
            one.std.tolist(),
        )
    else:
        both = ConcatDataset([Subset(one, retained), Relabelled(Subset(other, forgotten), relabel)])
    return DataLoader(both, retain.batch_size, shuffle=True, collate_fn=retain.collate_fn)


def _alike(one: Images, other: Images) -> bool:
    return torch.equal(one.mean, other.mean) and torch.equal(one.std, other.std)


class Relabelled(Dataset):
    """The images of another data set, with new labels."""

    def __init__(self, dataset: Dataset, relabel: Callable[[Tensor], Tensor]):
        self.dataset = dataset
        true = [int(dataset[i][1]) for i in range(len(dataset))]  # type: ignore[arg-type]
        self.targets = relabel(torch.tensor(true)).tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.dataset[index][0], self.targets[index]
