"""Options of a benchmark that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from forget512.harness.errors import UserError


@pytest.fixture
def refusal(make_tiny) -> Callable[..., None]:
    """refusal("--epochs 0", "at least 1", epochs=0): the tiny benchmark is refused in one line with these parts."""

    def check(*parts: str, **options: Any) -> None:
        with pytest.raises(UserError) as caught:
            make_tiny(**options)
        line = str(caught.value)
        assert "\n" not in line
        for part in parts:
            assert part in line, line

    return check
