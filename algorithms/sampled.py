"""A random part of a set: what makes a pass over single examples affordable."""

import torch
from torch.utils.data import DataLoader


def random_part(loader: DataLoader, samples: int) -> DataLoader:
    """A loader over `samples` of loader's images, drawn without replacement by torch's global generator.

    0, or more than there are: all of them, loader itself. The part stands in the order in which it was drawn.

    Raises:
        ValueError: samples is negative.
    """
    if samples < 0:
        raise ValueError(f"samples={samples}: give a number of images, or 0 for all of them")
    if samples == 0 or samples >= len(loader.sampler):  # type: ignore[arg-type]
        return loader
    images = list(loader.sampler)
    chosen = [images[place] for place in torch.randperm(len(images))[:samples].tolist()]
    return DataLoader(
        loader.dataset, loader.batch_size, sampler=chosen, collate_fn=loader.collate_fn, generator=loader.generator
    )
