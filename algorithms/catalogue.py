"""Every algorithm, one line each: its function, where it comes from, and the sets that it reads."""

from collections.abc import Callable
from dataclasses import dataclass

from algorithms.finetune import finetune
from algorithms.forget_remember import forget_remember, forget_remember_2
from algorithms.retrain import retrain


@dataclass(frozen=True)
class Method:
    """function: (net, retain, forget, validation, *, hyper-parameters) -> net; its defaults are the published values.

    reads: the sets that it looks at, of retain, forget and validation. published: what its defaults are called as a
    preset: `kaggle` for the competition's, else `paper`.
    """

    function: Callable
    paper: str
    reads: tuple[str, ...]
    published: str = "paper"

    @property
    def name(self) -> str:
        return self.function.__name__


METHODS = [
    Method(retrain, "the reference: training from scratch", ("retain",)),
    Method(finetune, "the competition's baseline", ("retain",), "kaggle"),
    Method(forget_remember, "competition, 8th place: Ahn, Lee, Bae, Yim, Jung 2023", ("retain",), "kaggle"),
    Method(forget_remember_2, "competition, 8th place, 2nd algorithm", ("retain",), "kaggle"),
]
ALGORITHMS = {method.name: method.function for method in METHODS}
