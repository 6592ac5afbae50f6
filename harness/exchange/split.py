"""Writes a benchmark to a folder for an outside program: all that unlearning may see, and no test data."""

import inspect
import json
import keyword
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from forget512.algorithms import versions
from forget512.harness.benchmark import resnets
from forget512.harness.benchmark.benchmark import Benchmark
from forget512.harness.benchmark.network_file import NetworkFile
from forget512.harness.errors import UserError, one_of
from forget512.harness.hashing import sha256

# Content of model.py by architecture: parts of resnets.py, and the call that builds the network.
SOURCES: dict[str, tuple[tuple[Any, ...], str]] = {
    "resnet8": ((resnets.Block, resnets.ResNet8), "ResNet8(CLASSES, CHANNELS, SIZE, width=16)"),
    "resnet8-thin": ((resnets.Block, resnets.ResNet8), "ResNet8(CLASSES, CHANNELS, SIZE, width=8)"),
    "resnet9": ((resnets.convolution, resnets.ResNet9), "ResNet9(CLASSES, CHANNELS)"),
    "resnet18": ((resnets.resnet18,), "resnet18(CLASSES, CHANNELS, SIZE)"),
    "resnet18-cifar": ((resnets.resnet18, resnets.resnet18_cifar), "resnet18_cifar(CLASSES, CHANNELS, SIZE)"),
}

FILES = ("model.py", "load_split.py")  # code written to the folder

README = """\
# {name}, benchmark {fingerprint}

This folder holds {retain} images to retain, {forget} to forget, {validation} for validation, and a network trained on
the first two together. It does not hold the test set, which unlearning must not see.

| file | holds |
| --- | --- |
| `data.npz` | `retain_images`, `forget_images`, `validation_images` (n, {height}, {width}, {channels}) uint8, with \
`…_targets` (n,) int64; `retain_indices` and `forget_indices` into the training images |
| `original.safetensors` | the original model's state_dict |
| `model.py` | `build()`: its architecture, {model} |
| `load_split.py` | data sets, loaders and the original model in plain numpy and torch; it imports only `model.py` |
| `benchmark.json` | fingerprint, recipe of the original model, mean and standard deviation of each channel (0 … 255) |

The original model was trained by this recipe (`docs/bring-your-own.md` of forget512 explains its fields):

```toml
{recipe}
```

Unlearn once per seed, 512 times for a full score, and save each network's state_dict:

```python
import torch
from load_split import loaders, original, save

for seed in range(512):
    torch.manual_seed(seed)
    retain, forget, validation = loaders(seed)
    net = original()
    ...  # your method
    save(net, seed)  # checkpoints/00000.safetensors, …
```

Then, with forget512:

    forget512 examine checkpoints --as my-method{options}

Half precision and `.pt` or `.pth` files are also accepted, in a folder or a zip file.
"""


def check_out(out: Path, benchmark: Benchmark) -> None:
    """Refuse a folder that is not empty, or an architecture that cannot be written, before anything is trained.

    Raises:
        UserError: one of these.
    """
    if isinstance(benchmark.model, NetworkFile):
        if any(name in FILES for name in benchmark.model.files):
            raise UserError(
                f"--model {benchmark.model}: its files must not have the names that split writes ({', '.join(FILES)})."
            )
        file = next(iter(benchmark.model.files))
        if not Path(file).stem.isidentifier() or keyword.iskeyword(Path(file).stem):
            raise UserError(f"split: --model {file} is not a valid module name: rename it, for example to my_net.py.")
        ours = sorted(versions.of_sources(benchmark.model.files.values()))
        if ours:
            raise UserError(
                f"split: --model {file} imports from forget512's algorithms/ ({', '.join(ours)}), which an outside "
                "program does not have: copy what it needs into the file."
            )
    else:
        one_of("split: --model", benchmark.model, SOURCES)
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise UserError(f"--out {out} cannot be read ({error.strerror}): give a new folder.") from error
    if taken:
        raise UserError(f"--out {out} exists and is not empty: give a new folder.")


def write_split(out: Path, benchmark: Benchmark, original: bytes, options: str = "") -> None:
    """Write the folder. options: the command's options that select this benchmark, for the README.

    Raises:
        UserError: as check_out, or it cannot be written.
    """
    check_out(out, benchmark)
    part, split = benchmark.training_part, benchmark.split
    height, width, channels = part.image_shape
    sets = {"retain": part.retain, "forget": part.forget, "validation": part.validation}
    arrays = {"retain_indices": split.retain, "forget_indices": split.forget}
    for name, examples in sets.items():
        arrays |= {f"{name}_images": examples.x, f"{name}_targets": examples.y}
    about = {
        "fingerprint": benchmark.fingerprint,
        "dataset": benchmark.dataset.name,
        "model": str(part.model),
        "classes": part.classes,
        "image_shape": part.image_shape,
        "mean": part.mean,
        "std": part.std,
        "precision": part.precision,
        "recipe": benchmark.recipe.values,
        "original_sha256": sha256(original),
    }
    readme = README.format(
        name=benchmark.dataset.name,
        fingerprint=benchmark.fingerprint[:12],
        **{name: len(examples) for name, examples in sets.items()},
        height=height,
        width=width,
        channels=channels,
        model=part.model,
        recipe="\n".join(f"{name} = {json.dumps(value)}" for name, value in benchmark.recipe.values.items()),
        options=f" {options}" if options else "",
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(out / "data.npz", **arrays)  # type: ignore[arg-type]
        (out / "original.safetensors").write_bytes(original)
        (out / "model.py").write_text(_model_file(benchmark))
        for name, source in benchmark.model.files.items() if isinstance(benchmark.model, NetworkFile) else ():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(source)
        shutil.copyfile(Path(__file__).with_name("load_split.py"), out / "load_split.py")
        (out / "benchmark.json").write_text(json.dumps(about, indent=2) + "\n")
        (out / "README.md").write_text(readme)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}): give a writable folder.") from error


def _model_file(benchmark: Benchmark) -> str:
    height, width, channels = benchmark.dataset.image_shape
    if isinstance(benchmark.model, NetworkFile):
        module = Path(next(iter(benchmark.model.files))).stem
        called = f"{module}.{benchmark.model.function}({benchmark.dataset.classes}, {(channels, height, width)})"
        return (
            f'"""{benchmark.model}, the architecture of the original model."""\n\n'
            f"from torch import nn\n\nimport {module}\n\n\n"
            f'def build() -> nn.Module:\n    """A freshly initialised network."""\n'
            f"    return {called}\n"
        )
    pieces, call = SOURCES[benchmark.model]
    return "\n\n".join(
        [
            f'"""{benchmark.model}, the architecture of the original model."""\n\n'
            "import torch.nn.functional as F\nfrom torch import Tensor, nn\n\n"
            f"CLASSES, CHANNELS, SIZE = {benchmark.dataset.classes}, {channels}, {min(height, width)}\n",
            *(inspect.getsource(piece) for piece in pieces),
            f'def build() -> nn.Module:\n    """A freshly initialised network; logits are (b, CLASSES)."""\n'
            f"    return {call}\n",
        ]
    )
