"""Not forgotten: blind to the recipe, and to what F can be raised by; right about memory where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from forget512.scoring import ScoringError, not_forgotten

FORGET, TEST = 150, 200


class World:
    """Examples of differing difficulty; networks of a recipe know them, and some remember the forget examples."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.difficulty = self.rng.normal(3, 3, FORGET + TEST)

    def networks(self, runs, memory=0.0, temperature=1.0, reorder=0.0, pushed=0.0):
        """(runs, FORGET) and (runs, TEST) confidences. memory: how far forget examples rise that are hard; reorder: a
        recipe's own taste; pushed: how far all forget examples fall."""
        taste = reorder * self.rng.normal(size=FORGET + TEST)
        values = self.difficulty + taste + self.rng.normal(size=(runs, FORGET + TEST))
        values[:, :FORGET] += memory * np.maximum(6 - self.difficulty[:FORGET], 0) - pushed
        return temperature * values[:, :FORGET], temperature * values[:, FORGET:]


@pytest.mark.parametrize("recipe", [{}, {"temperature": 3.0}, {"reorder": 1.0}, {"temperature": 0.3, "reorder": 0.5}])
def test_networks_of_another_recipe_that_never_saw_the_forget_set_are_as_retrained(recipe):
    found = []
    for seed in range(25):
        world = World(seed)
        found.append(not_forgotten(world.networks(16), world.networks(8, **recipe), world.networks(1, memory=1.0)))
    assert sum(each.interval[0] <= 0 <= each.interval[1] for each in found) >= 21  # of 25, at 95 %
    assert sum(each.p > 0.05 for each in found) >= 21
    assert abs(np.mean([each.share for each in found])) < 0.1


@pytest.mark.parametrize("memory", [0.3, 0.7, 1.0])
def test_what_is_left_of_the_memory_is_measured(memory):
    shares = []
    for seed in range(10):
        world = World(seed)
        found = not_forgotten(world.networks(16), world.networks(8, memory=memory), world.networks(4, memory=1.0))
        assert found.interval[0] < found.share < found.interval[1] and found.p < 0.01
        shares.append(found.share)
    assert 0.8 * memory < np.mean(shares) < 1.4 * memory  # ranks are not linear in memory


def test_the_original_model_has_forgotten_nothing():
    world = World(0)
    original = world.networks(1, memory=1.0)
    found = not_forgotten(world.networks(16), original, original)
    assert found.share == 1.0 and found.advantage == found.original_advantage > 0


def test_increasing_maps_of_a_run_change_nothing_but_the_weights_of_the_reference():
    world = World(1)
    retrained, unlearned, original = world.networks(8), world.networks(8, memory=0.5), world.networks(1, memory=1.0)
    mapped = [tuple(np.exp(each / 9) - 7 for each in side) for side in (unlearned, original)]
    assert not_forgotten(retrained, unlearned, original) == not_forgotten(retrained, *mapped)


def test_what_is_pushed_below_unseen_examples_is_said():
    world = World(2)
    found = not_forgotten(world.networks(16), world.networks(8, pushed=3.0), world.networks(1, memory=1.0))
    assert found.easy_advantage < -0.05 and found.easy_p < 0.01
    assert "pushed below" in list(found.lines())[1]


def test_where_there_is_nothing_to_forget_there_is_no_interval():
    world = World(3)
    found = not_forgotten(world.networks(16), world.networks(8), world.networks(1, memory=0.02))
    assert found.interval is None and "cannot be measured" in next(found.lines())


def test_few_examples_have_no_reading_and_other_shapes_are_refused():
    world = World(4)
    forget, test = world.networks(4)
    assert not_forgotten((forget[:, :7], test), (forget[:, :7], test), (forget[:1, :7], test[:1])) is None
    with pytest.raises(ScoringError, match="other numbers of forget and test examples"):
        not_forgotten((forget, test), (forget, test[:, 1:]), (forget, test))
    with pytest.raises(ScoringError, match="unlearned: 4 networks on forget and 3 on test"):
        not_forgotten((forget, test), (forget, test[1:]), (forget, test))
