"""A user's network: a function in a Python file that builds it, `my_net.py:build`.

The file's text is sent to every process that builds networks (workers, candidates' processes), so all use the version
that existed when the command began. Each process imports it once.
"""

import importlib
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from forget512.harness.candidates.source import hash_of_files
from forget512.harness.candidates.user_file import describe_error, import_file, import_files, own_files
from forget512.harness.errors import UserError, one_of
from forget512.harness.hashing import sha256

if TYPE_CHECKING:
    from torch import nn

TRIED = 2  # inputs in the batch that a network is tested on
_modules: dict[str, types.ModuleType] = {}  # of this process, by source


@dataclass(frozen=True)
class NetworkFile:
    """A function (classes, input_shape) -> torch.nn.Module that builds a network, and the files that define it.

    input_shape: (channels, height, width) of one input. The network takes normalised inputs (b, channels, height,
    width) in channels_last layout and returns logits (b, classes).

    files: the user's files, by path relative to folder, the one with the function first
    """

    function: str
    folder: str
    files: dict[str, bytes] = field(repr=False)

    def __str__(self) -> str:
        return f"{Path(next(iter(self.files))).stem}:{self.function}"

    @property
    def source(self) -> str:
        """SHA-256 of the files' code and of the versions of the forget512 modules that they import."""
        return hash_of_files(self.files)

    def build(self, classes: int, image_shape: tuple[int, int, int]) -> "nn.Module":
        """Build a freshly initialised network on the CPU. image_shape: (height, width, channels)."""
        height, width, channels = image_shape
        return self._find()(classes, (channels, height, width))

    def check(self, classes: int, image_shape: tuple[int, int, int]) -> None:
        """Build the network and test it on two inputs.

        Raises:
            UserError: it cannot be built, is not a network, or does not give logits (2, classes).
        """
        import torch

        where = f"--model {Path(self.folder) / next(iter(self.files))}:{self.function}"
        height, width, channels = image_shape
        inputs = torch.zeros(TRIED, height, width, channels).permute(0, 3, 1, 2)  # as training has them
        try:
            net = self.build(classes, image_shape)
        except Exception as error:
            called = f"{self.function}({classes}, {(channels, height, width)})"
            raise UserError(f"{where}: {called} raised {describe_error(error, self.folder)}.") from error
        if not isinstance(net, torch.nn.Module):
            raise UserError(f"{where} returned {type(net).__name__}: it must return a network (torch.nn.Module).")
        if not any(True for _ in net.parameters()):
            raise UserError(f"{where} built a network without parameters: there is nothing to train.")
        try:
            with torch.inference_mode():
                logits = net.to(memory_format=torch.channels_last).eval()(inputs)  # type: ignore[call-overload]
        except Exception as error:
            raise UserError(
                f"{where}: the network fails on inputs of shape {tuple(inputs.shape)} in channels_last layout: "
                f"{describe_error(error, self.folder)}."
            ) from error
        if not isinstance(logits, torch.Tensor):
            raise UserError(f"{where}: the network gives {type(logits).__name__}: it must give logits, one tensor.")
        if logits.shape != (TRIED, classes) or not logits.is_floating_point():
            raise UserError(
                f"{where}: for inputs of shape {tuple(inputs.shape)} the network gives {logits.dtype} of shape "
                f"{tuple(logits.shape)}: it must give floating-point logits of shape {(TRIED, classes)}."
            )

    def check_beside(self, name: str, files: dict[str, bytes]) -> None:
        """Refuse a candidate with a file that has the name of one of the network's and differs: one process loads both.

        Raises:
            UserError: names the file.
        """
        for each in sorted(set(files) & set(self.files)):
            if files[each] != self.files[each]:
                raise UserError(f"{name} and --model {self} each have a different file {each}: rename one.")

    def _find(self) -> "Callable[[int, tuple[int, int, int]], nn.Module]":
        key = sha256([self.folder, *self.files, self.source])
        if key not in _modules:
            # All files are imported at once, since a worker that is killed would leave the folder behind.
            with TemporaryDirectory(prefix="forget512-") as copies:
                _modules[key] = import_files(self.folder, self.files, Path(copies))
                for name in list(self.files)[1:]:
                    with suppress(
                        Exception
                    ):  # the import is repeated where the file is needed, and the error is shown there
                        importlib.import_module(Path(name).with_suffix("").as_posix().replace("/", "."))
                sys.path.remove(copies)
        return getattr(_modules[key], self.function)


def read_network(text: str) -> NetworkFile:
    """Read `FILE.py:FUNCTION` and import it, to find the other files of the user's that it imports.

    Raises:
        UserError: no such file, it fails to import, or has no such function.
    """
    name, _, function = text.rpartition(":")
    if not name.endswith(".py") or not function.isidentifier():
        raise UserError(f"--model {text}: name the function that builds the network, as in my_net.py:build.")
    path = Path(name).resolve()
    if not path.is_file():
        raise UserError(f"--model {text}: {name} does not exist.")
    folder = str(path.parent)
    source = path.read_bytes()
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        module = import_file(path, source)
        others = own_files(path, source, before)
    except BaseException as error:  # a user's file may raise anything, SystemExit included
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserError(f"--model {text}: {name} cannot be imported: {describe_error(error, folder)}.") from error
    finally:
        sys.path.remove(folder)
    if not callable(getattr(module, function, None)):
        functions = [
            n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        one_of(f"--model {text}: function", function, functions or ["none (it defines no function)"])
    files = {path.name: source, **{each: (path.parent / each).read_bytes() for each in others}}
    network = NetworkFile(function, folder, files)
    _modules[sha256([folder, *files, network.source])] = module
    return network
