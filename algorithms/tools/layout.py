"""Memory layout: the same tensors, laid out in another order in memory for a while."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def laid_out(tensors: Iterable[Tensor], memory_format: torch.memory_format) -> Iterator[None]:
    """Hold tensors in a memory format meanwhile. Afterwards each is in its own memory again, with its new values.

    What draws in place (`normal_`, `uniform_`) fills a tensor in the order of its memory: in torch.contiguous_format
    that is the order of its indices, whatever the layout that it has outside.
    """
    own = [(tensor, tensor.data) for tensor in tensors if not tensor.is_contiguous(memory_format=memory_format)]
    try:
        for tensor, data in own:
            tensor.data = data.contiguous(memory_format=memory_format)
        yield
    finally:
        for tensor, data in own:
            if tensor.data_ptr() != data.data_ptr():
                tensor.data = data.copy_(tensor.data)
