"""The development split, for tuning: another forget set of the same kind on the same data."""

from dataclasses import replace

import numpy as np

from forget512.harness.benchmark.benchmark import Benchmark, Split
from forget512.harness.benchmark.groups import other_groups
from forget512.harness.errors import UserError


def development(benchmark: Benchmark) -> Benchmark:
    """Replace the forget set by another one of the same kind, and halve the validation set to test on.

    Whole groups are replaced by other groups with about as many images, a class by another class, and anything else by
    as many images drawn at random. The test set of the benchmark itself stays unseen.

    Raises:
        UserError: too few images or groups are left to forget, retain, validate or test.
    """
    data, scored = benchmark.dataset, benchmark.split
    random = np.random.RandomState(int(benchmark.fingerprint[8:16], 16))
    classes, enough = np.unique(data.y_train[scored.forget]), True
    if benchmark.groups is not None:
        forget = other_groups(benchmark.groups, scored.retain, len(scored.forget), random)
    elif len(classes) == 1 and len(scored.forget) == np.sum(data.y_train == classes[0]):
        others = np.setdiff1d(np.arange(data.classes), classes)
        forget = np.flatnonzero(data.y_train == random.choice(others))
    else:
        forget = np.sort(random.permutation(scored.retain)[: len(scored.forget)])
        enough = len(forget) == len(scored.forget)
    retain = np.setdiff1d(np.concatenate([scored.retain, scored.forget]), forget)
    held = random.permutation(scored.validation)
    cut = len(held) // 2
    if not enough or not len(retain) or not cut:
        raise UserError(
            f"{data.name} has too few images for a development split: it forgets {len(scored.forget)} of the "
            f"{len(scored.retain)} retained ones and halves {len(held)} validation images."
        )
    return replace(benchmark, split=Split(retain, forget, np.sort(held[:cut]), np.sort(held[cut:])))
