# Everything runs in .venv, which is made anew only when pyproject.toml changes.
PYTHON ?= python3
RUNS ?= 512

.PHONY: eval test test-all test-gpu test-notebooks check benchmark

eval: .venv/installed
	.venv/bin/python run_eval.py evaluate finetune forget_remember --runs $(RUNS)

test: .venv/installed
	.venv/bin/python -m pytest -q -rs

test-notebooks: .venv/installed
	.venv/bin/python -m pytest -q --nbmake --nbmake-timeout=1200 notebooks

test-gpu: .venv/installed
	.venv/bin/python -m pytest -q -m gpu

test-all: .venv/installed
	.venv/bin/python -m pytest -q -m "not gpu"

check: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

benchmark: .venv/installed
	.venv/bin/python tests/benchmarks/bench_training.py
	.venv/bin/python tests/benchmarks/bench_memory.py
	.venv/bin/python tests/benchmarks/bench_scoring.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
