# Everything runs in .venv, which the first call makes. Another interpreter: make demo PYTHON=/path/to/python3.12
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench bench-fusion clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
PORT ?= 8765
DATA ?= corpora
STAMP := $(VENV)/.installed-
INSTALLS_FROM := pyproject.toml scripts/setup.sh $(wildcard constraints/*.txt)

help: ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 10

setup: ## Install again, for example after adding a system package
	@rm -f $(STAMP)*
	@PYTHON="$(PYTHON)" sh scripts/setup.sh test

$(STAMP)demo: $(INSTALLS_FROM)
	@PYTHON="$(PYTHON)" sh scripts/setup.sh demo

$(STAMP)test: $(INSTALLS_FROM)
	@PYTHON="$(PYTHON)" sh scripts/setup.sh test

demo/clip.mp4: scripts/make_demo_clip.py | $(STAMP)demo
	@$(BIN)/python scripts/make_demo_clip.py --out $@

demo: $(STAMP)demo demo/clip.mp4 ## Play a made-up clip through the live path, with the dashboard, then analyse it
	@PORT="$(PORT)" sh scripts/demo.sh

test: lint ## Lint, type check and all tests
	@$(BIN)/python -m pytest

lint: $(STAMP)test ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP)test ## Rewrite the code in the house's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)test ## Measure latency, cost and memory on this machine
	@$(BIN)/python scripts/latency_bench.py

bench-fusion: $(STAMP)test ## Hold MIAR against its peers, for hours; goes on where it stopped: make bench-fusion DATA=DIR
	@$(BIN)/python scripts/bench_fusion.py --data "$(DATA)"

clean: ## Remove the environment and everything made
	@rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find calibration miar_rt stream scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
