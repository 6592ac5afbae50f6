"""Names that stores hold: they must never change by accident, nor depend on the version of Python.

Where a test of this file fails, banks of every store would lose their runs. If that is meant, say so in CHANGELOG.md.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from forget512.harness.benchmark.making import make_benchmark
from forget512.harness.candidates.built_in import built_in
from forget512.harness.isolation.environment import ROOT
from forget512.harness.store.bank import Bank
from support.interpreters import interpreters

FINGERPRINT = "a83e752f047c281bb58326742e7bc58b9702a5142cbc0d75358690a2ac803c9b"
KEYS = {
    "retrain": "232ad06397c5558450e04964abb540e4e746c1cb284df6ee29752dff04885b73",
    "finetune": "7ba0056892d8360837a89566eba4c9a0051ca9100c54f0182cb8f2142dd95d6f",
    "forget_remember": "1940d2fa0ee650e1fbe0d4bd027431d1653e9f39e3e45b79824cd5c9aefd8194",
}
ORIGINAL = "0" * 64  # of an original model
PRINT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from forget512.harness.candidates.built_in import built_in
algorithms = [built_in(name, "digits", settings) for name, settings in json.loads(sys.argv[2]).items()]
print(json.dumps([algorithm.bank for algorithm in algorithms]))
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""


@pytest.fixture(scope="module")
def benchmark():
    return make_benchmark("digits")


@pytest.fixture(scope="module")
def algorithms(benchmark):
    settings = {"retrain": benchmark.recipe.hyper_parameters}
    return {name: built_in(name, "digits", settings.get(name)) for name in KEYS}


def test_the_fingerprint_of_digits_is_the_one_that_stores_hold(benchmark):
    assert benchmark.fingerprint == FINGERPRINT


@pytest.mark.parametrize("name", KEYS)
def test_the_bank_of_a_method_on_digits_is_the_one_that_stores_hold(store, benchmark, algorithms, name):
    assert Bank(store, benchmark, algorithms[name], ORIGINAL).key == KEYS[name]


@pytest.mark.parametrize("python", [sys.executable, *interpreters()])
def test_what_names_a_bank_is_the_same_under_every_python(benchmark, algorithms, python):
    """Its method, hyper-parameters and source, computed with the standard library alone (-I -S)."""
    settings = {name: algorithm.hyper_parameters for name, algorithm in algorithms.items()}
    command = [python, "-I", "-S", "-c", PRINT, ROOT, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [algorithm.bank for algorithm in algorithms.values()]
