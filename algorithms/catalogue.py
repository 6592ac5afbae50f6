"""Every algorithm, one line each: its function, where it comes from, and the sets that it reads."""

from collections.abc import Callable
from dataclasses import dataclass

from forget512.algorithms.baselines.finetune import finetune
from forget512.algorithms.baselines.original import original
from forget512.algorithms.baselines.retrain import retrain
from forget512.algorithms.competition.amnesiacs import amnesiacs
from forget512.algorithms.competition.fanchuan import fanchuan
from forget512.algorithms.competition.forget_remember import forget_remember, forget_remember_2
from forget512.algorithms.competition.kookmin import kookmin
from forget512.algorithms.competition.sebastian import sebastian
from forget512.algorithms.competition.seif import seif
from forget512.algorithms.competition.sun import sun
from forget512.algorithms.competition.toshi_marvelous import toshi_marvelous
from forget512.algorithms.literature.bad_teacher import bad_teacher
from forget512.algorithms.literature.boundary_shrink import boundary_shrink
from forget512.algorithms.literature.distil import distil
from forget512.algorithms.literature.fisher import fisher
from forget512.algorithms.literature.freeze import cf_k, eu_k
from forget512.algorithms.literature.influence import influence
from forget512.algorithms.literature.l1_sparse import l1_sparse
from forget512.algorithms.literature.neggrad import neggrad, neggrad_plus
from forget512.algorithms.literature.random_labels import random_labels
from forget512.algorithms.literature.salun import salun
from forget512.algorithms.literature.scrub import scrub
from forget512.algorithms.literature.ssd import ssd
from forget512.algorithms.literature.unsir import unsir


@dataclass(frozen=True)
class Method:
    """function: (net, retain, forget, validation, *, hyper-parameters) -> net; its defaults are what is published.

    reads: of retain, forget and validation, the sets that it looks at with its defaults
    published: what its defaults are called as a preset: `kaggle` for the competition's methods, `paper` for the
               literature's, `ours` where nothing is published
    """

    function: Callable
    paper: str
    reads: tuple[str, ...]
    published: str = "paper"

    @property
    def name(self) -> str:
        return self.function.__name__


RETAIN, BOTH = ("retain",), ("retain", "forget")
METHODS = [
    # the two ends of the scale, and the baseline
    Method(retrain, "the reference", RETAIN, "ours"),
    Method(original, "the other end of the scale", (), "ours"),
    Method(finetune, "the competition's baseline", RETAIN, "kaggle"),
    # the competition: the 8th place, then the best seven
    Method(forget_remember, "Ahn, Lee, Bae, Yim, Jung 2023: 8th place, 1st algorithm", RETAIN, "kaggle"),
    Method(forget_remember_2, "Ahn, Lee, Bae, Yim, Jung 2023: 8th place, 2nd algorithm", RETAIN, "kaggle"),
    Method(fanchuan, "fanchuan 2023: 1st place", BOTH, "kaggle"),
    Method(kookmin, "Kookmin 2023: 2nd place", BOTH, "kaggle"),
    Method(seif, "Seif 2023: 3rd place", RETAIN, "kaggle"),
    Method(sebastian, "Sebastian 2023: 4th place", RETAIN, "kaggle"),
    Method(toshi_marvelous, "toshi_k & marvelous8 2023: 5th place", RETAIN, "kaggle"),
    Method(amnesiacs, "Algorithmic Amnesiacs 2023: 6th place", ("retain", "validation"), "kaggle"),
    Method(sun, "Jiaxi Sun 2023: 7th place", RETAIN, "kaggle"),
    # the literature
    Method(neggrad, "Golatkar, Achille, Soatto 2020", ("forget",)),
    Method(neggrad_plus, "Kurmanji et al. 2023", BOTH),
    Method(random_labels, "Golatkar et al. 2020; Graves et al. 2021", BOTH),
    Method(scrub, "Kurmanji et al. 2023: SCRUB, and SCRUB+R", BOTH),
    Method(bad_teacher, "Chundawat et al. 2023", BOTH),
    Method(salun, "Fan et al. 2024", BOTH),
    Method(l1_sparse, "Jia et al. 2023", RETAIN),
    Method(fisher, "Golatkar, Achille, Soatto 2020", RETAIN),
    Method(influence, "Izzo et al. 2021; Jia et al. 2023", BOTH),
    Method(ssd, "Foster, Schoepf, Brintrup 2024", BOTH),
    Method(cf_k, "Goel et al. 2022", RETAIN),
    Method(eu_k, "Goel et al. 2022", RETAIN),
    Method(boundary_shrink, "Chen et al. 2023", ("forget",)),
    Method(unsir, "Tarun et al. 2023", BOTH),
    Method(distil, "Ba, Caruana 2014; Hinton et al. 2015", RETAIN, "ours"),
]
ALGORITHMS = {method.name: method.function for method in METHODS}
