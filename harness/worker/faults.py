"""Distinguishes a machine's faults from a candidate's errors."""

import errno

import torch

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # by torch's allocators and drivers, as RuntimeError
OF_THE_ACCELERATOR = ("CUDA error", "CUDA driver error", "cuDNN error")  # a RuntimeError before torch 2.8, or still
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)  # full, over a quota or a limit, or broken


def of_the_machine(error: BaseException) -> bool:
    """Return whether memory ran out, or a disk is full or broken."""
    return out_of_memory(error) or (isinstance(error, OSError) and error.errno in DISK_FAULTS)


def of_the_accelerator(error: BaseException) -> bool:
    """Return whether a GPU reports an error: its own, such as a lost device, or an error of a kernel."""
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OF_THE_ACCELERATOR)
    )


def out_of_memory(error: BaseException) -> bool:
    """Return whether the host's or a GPU's memory ran out, for which torch has several exceptions."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    )
