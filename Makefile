# Each target makes what it needs; a second call is quick. PYTHON=… chooses the Python, JOBS=… how many tests run at once
# (one more than two cores: many of them wait for processes).

JOBS ?= 3
ARGS ?=
PY := .venv/bin/python
export PYTHON KILLS SEED
unexport PYTHONDONTWRITEBYTECODE # tests start hundreds of processes, and each would compile the code anew

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-long test-sglang record-sglang check bench format lock clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 15

demo: ## Break a small real service and watch Nightshift mend it (ARGS=--yes: unattended)
	@infra/environment.sh programs
	@infra/environment.sh python run
	@$(PY) -m bot demo $(ARGS)

test: ## Run all tests (ARGS=tests/unit: some of them)
	@infra/environment.sh programs tests
	@infra/environment.sh python dev
	@$(PY) -m compileall -q -j 2 bot connectors
	@$(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-long: ## Run what takes minutes: 600 kills, 1,000 patches at once, 1,000 random changes, each chat alone (KILLS=30 SEED=7)
	@infra/environment.sh programs tests
	@infra/environment.sh python dev
	@$(PY) -m pytest -m long -s $(ARGS)

test-sglang: ## Install a real SGLang for the CPU (1.6 GB, once) and test against it, and against real smg
	@infra/environment.sh python dev
	@infra/environment.sh sglang
	@$(PY) -m pytest -m sglang -n 2 --dist loadfile -rP --durations=8 tests/sglang $(ARGS)

record-sglang: ## Write down anew what real SGLang and smg say, for the tests that need neither
	@infra/environment.sh python dev
	@infra/environment.sh sglang
	@$(PY) -m tests.sglang.record

check: ## Lint, format, types, import rules, sizes, documents
	@infra/environment.sh programs
	@infra/environment.sh python dev
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m pytest tests/architecture

bench: ## Measure what is promised, and write docs/benchmarks.md (ARGS=intake: that part alone)
	@infra/environment.sh programs
	@infra/environment.sh python dev
	@$(PY) -m tests.bench $(ARGS)

format: ## Format the code, and mend what ruff can
	@infra/environment.sh python dev
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

lock: ## Write the lock files anew from pyproject.toml
	@infra/environment.sh lock

clean: ## Remove the environment, caches and the demo's folder (never the state of a running Nightshift)
	rm -rf .venv .nightshift/demo dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find bot connectors playbooks tests -name __pycache__ -type d -prune -exec rm -rf {} +
