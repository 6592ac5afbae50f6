"""`published_settings`: the settings of a publication, as candidates."""

from typing import Any

from forget512.harness.api.candidate import Candidate
from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.workflows.reproduction import load_reproduction


def published_settings(name: str, dataset: str = "digits", **options: Any) -> dict[str, Candidate]:
    """The rows of a publication's tables as `forget512 reproduce` runs them, by their names.

    name: "writeup-8th-place". dataset, options: of the benchmark, to whose network and learning rate they are fitted.

        steps = published_settings("writeup-8th-place")
        evaluate(steps["random"], steps["FIM"], runs=32)

    Raises:
        UserError: no such publication, or an option that does not fit.
    """
    found = load_reproduction(name, make_benchmark(dataset, **options)).algorithms
    return {each.name: Candidate(each.method, each.hyper_parameters, each.name) for each in found}
