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

# mypy reads no __path__: for it, the package's parts are linked into one folder, as a wheel has them.
check: .venv/installed
	mkdir -p build/typing/forget512
	ln -sfn $(CURDIR)/forget512/__init__.py $(CURDIR)/forget512/__main__.py $(CURDIR)/harness $(CURDIR)/algorithms $(CURDIR)/scoring build/typing/forget512/
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

benchmark: .venv/installed
	.venv/bin/python tests/benchmarks/bench_training.py
	.venv/bin/python tests/benchmarks/bench_memory.py
	.venv/bin/python tests/benchmarks/bench_scoring.py
	.venv/bin/python tests/benchmarks/bench_store.py
	.venv/bin/python tests/benchmarks/bench_overhead.py
	.venv/bin/python tests/benchmarks/bench_imports.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
