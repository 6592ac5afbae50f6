"""Choosing an engine, and learning which one carried a training."""

from __future__ import annotations

import pytest

from forget512.algorithms.engines.choice import choosing
from forget512.algorithms.training import train


def test_what_is_chosen_holds_inside_alone_and_says_what_carried_the_steps(make_images, make_loader, make_net):
    def go(epochs=1):
        train(make_net(), make_loader(make_images()), epochs=epochs, lr=0.1)

    with choosing("auto") as outer:
        with choosing("eager") as inner:
            go()
        with choosing("auto") as unused:
            go(epochs=0)
        go()
    go()
    assert (inner, outer, unused) == ({"eager"}, {"rows"}, set())


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine 'fast' is unknown: choose one of auto, eager"), choosing("fast"):
        pass
