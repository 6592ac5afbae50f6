# Everything runs in .venv, which is made anew only when pyproject.toml changes.
PYTHON ?= python3
RUNS ?= 512
PYTEST = .venv/bin/python -m pytest -q
# One process a core, for two cores.
TWO = -n 2 --dist loadfile

.PHONY: eval test test-all test-gpu test-notebooks check benchmark

eval: .venv/installed
	.venv/bin/python run_eval.py evaluate finetune forget_remember --runs $(RUNS)

test: .venv/installed
	$(PYTEST) $(TWO) -rs

test-notebooks: .venv/installed
	$(PYTEST) --nbmake --nbmake-timeout=1200 notebooks

test-gpu: .venv/installed
	$(PYTEST) -m gpu

test-all: .venv/installed
	$(PYTEST) $(TWO) -m "not gpu"

check: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

benchmark: .venv/installed
	.venv/bin/python tests/benchmarks/bench_training.py
	.venv/bin/python tests/benchmarks/bench_memory.py
	.venv/bin/python tests/benchmarks/bench_scoring.py
	.venv/bin/python tests/benchmarks/bench_store.py
	.venv/bin/python tests/benchmarks/bench_overhead.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
