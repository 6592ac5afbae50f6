"""Provides batches in the format of the competition's notebooks: dicts instead of (inputs, targets)."""

from collections.abc import Mapping, Sequence
from typing import Any

from forget512.algorithms.training import Images


class KaggleImages(Images):
    """The same images, each returned as a dict; `batch`, which the built-in training loop reads, is unchanged.

    image: (channels, H, W) float32, normalised as the network takes it (Kaggle's own were not)
    age_group, age_class, age: the class. image_id: 'retain-17', the set and the index in it. person_id: a number of its
    own for each image, since persons are unknown; no two sets share one, as in the competition
    """

    def __init__(self, images: Images, name: str, first_person: int):
        super().__init__(images.pixels, images.targets, images.mean.tolist(), images.std.tolist())
        self.name, self.first_person = name, first_person

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:  # type: ignore[override]
        positions = [range(len(self))[index] for index in indices]  # an index may be a tensor, or count from the end
        return [
            {
                "image": image,
                "image_id": f"{self.name}-{position}",
                "age_group": label,
                "age": label,
                "age_class": label,
                "person_id": self.first_person + position,
            }
            for position, (image, label) in zip(positions, super().__getitems__(positions), strict=True)
        ]


def kaggle_images(sets: Mapping[str, Images]) -> dict[str, KaggleImages]:
    """Return retain, forget and validation set by name; they share the tensors of the originals."""
    found, first = {}, 0
    for name, images in sets.items():
        found[name] = KaggleImages(images, name, first)
        first += len(images)
    return found
