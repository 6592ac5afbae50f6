"""Teachers are asked for what students need of them, and not again."""

from __future__ import annotations

import pytest

from forget512.algorithms.competition.amnesiacs import amnesiacs
from forget512.algorithms.literature.bad_teacher import bad_teacher
from forget512.algorithms.literature.distil import distil
from support.running import run


@pytest.mark.parametrize(
    ("function", "sets", "asked"),
    [
        (amnesiacs, ("retain", "validation"), 4 + 2),
        (bad_teacher, ("retain", "forget"), 2 * 4),  # two teachers
        (distil, ("retain",), 4),
    ],
)
def test_each_teacher_is_asked_once_a_batch(small_sets, make_loader, make_original, function, sets, asked):
    net, calls = make_original(), []
    net.register_forward_hook(lambda module, inputs, logits: calls.append(module.training))  # copies keep it
    loaders = {s: make_loader(i) for s, i in zip(("retain", "forget", "validation"), small_sets, strict=True)}
    short = {"epochs": 1, **({"warmup_epochs": 1} if function is amnesiacs else {})}
    run(function, net, **{s: loaders[s] for s in sets}, **short)
    assert calls.count(False) == asked
