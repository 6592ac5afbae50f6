"""Tensors in another layout for a while."""

from __future__ import annotations

import pytest
import torch

from forget512.algorithms.tools.layout import laid_out


def test_tensors_have_another_layout_meanwhile_and_their_own_memory_with_new_values_afterwards():
    tensor = torch.arange(24.0).reshape(2, 3, 2, 2)
    values, memory = tensor.clone(), tensor.data_ptr()
    with laid_out([tensor], torch.channels_last):
        assert torch.equal(tensor, values) and tensor.is_contiguous(memory_format=torch.channels_last)
        tensor += 1
    assert torch.equal(tensor, values + 1) and tensor.is_contiguous() and tensor.data_ptr() == memory


def test_an_exception_ends_it_as_well():
    tensor = torch.rand(2, 3, 2, 2)
    with pytest.raises(KeyError), laid_out([tensor], torch.channels_last):
        raise KeyError
    assert tensor.is_contiguous()
