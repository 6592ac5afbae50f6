"""Fine-tuning on the retain set."""

from __future__ import annotations

from forget512.algorithms import finetune
from forget512.algorithms.training import Images
from support.running import changed, run


def test_fine_tuning_follows_the_labels(make_images, make_loader, make_net):
    images = make_images()
    relabelled = Images(images.pixels, images.targets.flip(0), [120.0], [70.0])
    one, other = (run(finetune, make_net(), make_loader(each), epochs=1) for each in (images, relabelled))
    assert changed(one, other)
