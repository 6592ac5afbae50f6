"""Finds the images that a loader takes of its data set, and samples them."""

import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from forget512.algorithms.training import order


def images_of(loader: DataLoader) -> list[int]:
    """Return the indices of the images that a pass over loader takes, ascending, each as often as it occurs.

    A sampler of the whole set is not iterated, since the next pass would have another order. One that draws other
    images in each pass is iterated once.

    Raises:
        ValueError: as `order`.
    """
    sampler = order(loader)
    whole = type(sampler) is SequentialSampler or (type(sampler) is RandomSampler and not sampler.replacement)
    if whole and len(sampler) == len(loader.dataset):  # type: ignore[arg-type]
        return list(range(len(sampler)))  # type: ignore[arg-type]
    return sorted(map(int, sampler))


def random_part(loader: DataLoader, samples: int) -> DataLoader:
    """Return a loader over `samples` of loader's images, drawn without replacement by torch's global generator.

    For 0, or more than there are, it is loader itself. The sample keeps the order in which it was drawn.

    Raises:
        ValueError: samples is negative, or as `order`.
    """
    if samples < 0:
        raise ValueError(f"samples={samples}: give a number of images, or 0 for all of them")
    sampler = order(loader)
    if samples == 0 or samples >= len(sampler):  # type: ignore[arg-type]
        return loader
    images = list(sampler)
    chosen = [images[place] for place in torch.randperm(len(images))[:samples].tolist()]
    return DataLoader(
        loader.dataset, loader.batch_size, sampler=chosen, collate_fn=loader.collate_fn, generator=loader.generator
    )
