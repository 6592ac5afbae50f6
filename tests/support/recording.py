"""A stand-in for a CUDA graph on a CPU: it records the operations of a step; a replay repeats these and no Python."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Notes each operation with the tensors that it reads and writes. One that needs a number on the host fails.

    What it writes to memory from outside is undone at the end, as if nothing had been executed.
    """

    def __init__(self):
        super().__init__()
        self.operations: list[tuple[Callable, tuple, dict, list[tuple[int, Tensor]]]] = []
        self.made: set[int] = set()  # memory of results
        self.outside: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # memory, and a copy of it

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        read = {_memory(each): each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        for memory, tensor in read.items():
            if memory not in self.made and memory not in self.outside:
                storage = tensor.untyped_storage()
                self.outside[memory] = storage, storage.clone()
        results = operation(*args, **kwargs)
        new = [
            (place, each)
            for place, each in enumerate(tree_leaves(results))
            if isinstance(each, Tensor) and _memory(each) not in read
        ]
        self.made.update(_memory(each) for _, each in new)
        if new or operation._schema.is_mutable:  # others give views
            self.operations.append((operation, args, kwargs, new))
        return results

    def undo(self) -> None:
        for storage, value in self.outside.values():
            storage.copy_(value)

    @torch.no_grad()
    def replay(self) -> None:
        for operation, args, kwargs, new in self.operations:
            found = tree_leaves(operation(*args, **kwargs))
            for place, result in new:
                result.copy_(found[place])


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def recorder() -> type:
    """A class like `CudaGraph`. warm_ups, replays: how often; rates: SGD's of each replay; released: whether it is."""

    class Recorder:
        warm_ups = replays = 0
        rates: list[float] = []  # noqa: RUF012
        released = False

        def __init__(self, device: torch.device):
            self.tape = Tape()

        @classmethod
        def usable(cls, device: torch.device) -> bool:
            return True

        def warm_up(self, work: Callable[[], None]) -> None:
            Recorder.warm_ups += 1
            work()

        def record(self, work: Callable[[], None]) -> None:
            draws = torch.get_rng_state()
            try:
                with self.tape:
                    work()
            finally:
                self.tape.undo()
                torch.set_rng_state(draws)

        def replay(self) -> None:
            Recorder.replays += 1
            Recorder.rates += [kwargs["lr"].item() for _, _, kwargs, _ in self.tape.operations if "lr" in kwargs]
            self.tape.replay()

        def release(self) -> None:
            Recorder.released = True

    return Recorder
