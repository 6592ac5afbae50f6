"""What only a CUDA device can show."""

import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.finding import find_algorithms
from forget512.harness.scheduling.compute import Compute, choose_compute
from forget512.harness.scheduling.options import WorkerOptions
from forget512.harness.store.backends.folder import Folder
from forget512.harness.workflows.evaluation import Evaluation
from support.commands import contents

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_an_evaluation_on_a_gpu_and_its_repetition_agree(ray_session, tmp_path, share):
    benchmark = make_benchmark("digits", epochs=1)
    algorithms = find_algorithms(["finetune"], [], "digits")
    stores = []
    for name in ("one", "two"):
        stores.append(tmp_path / name)
        evaluation = Evaluation(benchmark, algorithms, 2, Folder(stores[-1]))
        list(evaluation.run(Compute("cuda", round(1 / share), share)))
        assert evaluation.complete
        assert all(r.provenance.device != "cpu" for r in evaluation.reference.readings.values())
    assert contents(stores[0]) == contents(stores[1])


def test_a_candidate_gets_a_network_on_the_gpu(ray_session, tmp_path):
    file = tmp_path / "idea.py"
    file.write_text(
        "def unlearning(net, retain, forget, validation):\n"
        "    assert next(net.parameters()).is_cuda\n"
        "    for inputs, targets in retain:\n"
        "        net(inputs.to('cuda'))\n"
        "    return net\n"
    )
    benchmark = make_benchmark("digits", epochs=1)
    evaluation = Evaluation(benchmark, find_algorithms([str(file)], [], "digits"), 2, Folder(tmp_path / "store"))
    list(evaluation.run(choose_compute(WorkerOptions("cuda", 1))))
    assert evaluation.complete
