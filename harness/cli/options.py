"""Options that several commands share, as decorators."""

from collections.abc import Callable
from pathlib import Path

import click


def options(*decorators: Callable) -> Callable:
    """Several options as one decorator, in the order in which --help shows them."""

    def decorate(function: Callable) -> Callable:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


FILE = click.Path(path_type=Path)

benchmark_options = options(
    click.option(
        "--dataset",
        default="digits",
        show_default=True,
        help="digits, cifar10, cifar10-mini, cifar100, svhn, mnist, fashionmnist, FILE.npz, or a folder of images "
        "(DIR/train/CLASS/… with DIR/test/CLASS/… or DIR/val/CLASS/…; or DIR/CLASS/…, a fifth of which tests)",
    ),
    click.option(
        "--image-size", type=int, help="pixels that a folder's images are cut and resized to, squares [default: 32]"
    ),
    click.option(
        "--model",
        help="resnet8-thin, resnet8, resnet18, resnet18-cifar, or FILE.py:FUNCTION, called with the number of classes "
        "and (channels, height, width), that gives a torch.nn.Module [default: by data set]",
    ),
    click.option("--epochs", type=int, help="of the recipe that retrains [default: by data set]"),
    click.option("--recipe", type=FILE, help="TOML file with any of the recipe's epochs, optimizer, lr, schedule, …"),
    click.option("--precision", default="float32", show_default=True, help="of training: float32 or bfloat16"),
    click.option(
        "--data-dir",
        type=FILE,
        default="data",
        show_default=True,
        help="where torchvision's files are, or are downloaded to (CIFAR-10: or one .npz)",
    ),
    click.option("--forget-fraction", type=float, help="of the training images, drawn at random [default: 0.1]"),
    click.option("--forget-indices", type=FILE, help="file of indices to forget (.npy or text)"),
    click.option("--forget-class", type=int, help="forget all training images of a class"),
    click.option(
        "--forget-groups",
        metavar="FILE[:GROUP,…]",
        help="CSV `index,group` of all training images: forget these groups, or whole ones drawn at random until "
        "--forget-fraction is reached",
    ),
    click.option("--split-seed", type=int, default=0, show_default=True, help="of the random split"),
)
original_option = click.option(
    "--original",
    type=FILE,
    help="unlearn from this model instead of one that is trained here: safetensors, or a state_dict by torch.save",
)
originals_option = click.option(
    "--originals",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="evaluate from so many original models, N runs from each, and show the spread between them",
)
store_option = click.option(
    "--store", default="store", show_default=True, help="that keeps every finished run: a folder, s3://… or gs://…"
)
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda")
runs_option = click.option("--runs", type=int, default=512, show_default=True, help="N, on each side")
run_options = options(runs_option, store_option)
compute_options = options(
    click.option("--actors", type=int, help="that work at the same time [default: one a core, or all GPU places]"),
    device_option,
    click.option("--gpus-per-run", type=float, help="1 or an exact fraction 1/k [default: 1 on a GPU]"),
    click.option(
        "--address",
        metavar="auto|ray://…|HOST:PORT",
        help="of a Ray cluster whose GPUs or cores are used [default: this machine alone]",
    ),
)
run_timeout_option = click.option(
    "--run-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="that a candidate's run may take [default: 10 times the median of its runs, or of a retraining as long as "
    "none has finished; at least 60]",
)
log_option = click.option("--log-json", type=FILE, metavar="FILE", help="append what happens, one JSON object a line")
doing_options = options(run_timeout_option, log_option)
benchmark_option = click.option("--benchmark", metavar="FINGERPRINT", help="which one is wanted; its first digits do")
mode_option = click.option(
    "--mode", default="released", show_default=True, help="definition: released, spec, exact or certified"
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="a hyper-parameter, of every algorithm that has it or of one (finetune.lr=0.01)",
)
batch_format_option = click.option(
    "--batch-format", help="of a file's loaders: tuples or kaggle [default: kaggle for .ipynb]"
)
candidate_options = options(
    click.argument("algorithms", nargs=-1, required=True, metavar="ALGORITHM|FILE.py|FILE.ipynb ..."),
    settings_option,
    batch_format_option,
)
