"""Draws thumbnails of the forget examples in one image file."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from forget512.harness.benchmark.data.dataset import Dataset
from forget512.harness.benchmark.data.loading import load_dataset
from forget512.harness.errors import UserError
from forget512.harness.store.benchmarks import StoredBenchmark

LARGEST = 32  # pixels a side
LOSSLESS = 500_000  # bytes: a larger file is compressed with loss
QUALITY = 50  # of WebP, then


@dataclass(frozen=True)
class Sprite:
    """Draw `columns` examples a row, each width × height pixels, in the order of the forget indices."""

    data: bytes
    suffix: str
    columns: int
    width: int
    height: int


def find_dataset(benchmark: StoredBenchmark, data_dir: Path) -> Dataset | None:
    """Load the benchmark's data set if that needs no download; else return None."""
    name = benchmark.name
    if name != "digits" and not (name in ("cifar10", "cifar10-mini") and _has_cifar10(data_dir)):
        return None
    try:
        found = load_dataset(name, data_dir)
    except UserError:
        return None  # the files there are another data set
    return found if found.sha256 == benchmark.identity["data"]["sha256"] else None


def _has_cifar10(data_dir: Path) -> bool:
    return data_dir.is_dir() and (any(data_dir.glob("*.npz")) or (data_dir / "cifar-10-batches-py").is_dir())


def make_sprite(images: np.ndarray) -> Sprite:
    """Convert (n, H, W, channels) uint8 images: three channels, or the first as grey, with full contrast."""
    images = images[..., : 3 if images.shape[-1] >= 3 else 1]
    count, height, width, channels = images.shape
    if channels == 1:
        images = (images.astype(np.float32) * (255 / max(int(images.max()), 1))).astype(np.uint8)
    shrink = max(height, width) / LARGEST
    if shrink > 1:
        width, height = max(round(width / shrink), 1), max(round(height / shrink), 1)
        pictures = [_picture(image).resize((width, height)) for image in images]
        images = np.stack([np.asarray(picture) for picture in pictures]).reshape(count, height, width, channels)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, height, width, -1).swapaxes(1, 2)
    picture = _picture(sheet.reshape(rows * height, columns * width, channels))
    data, suffix = _encoded(picture, "png", optimize=True), "png"
    if len(data) > LOSSLESS:
        data, suffix = _encoded(picture, "webp", quality=QUALITY), "webp"
    return Sprite(data, suffix, columns, width, height)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
