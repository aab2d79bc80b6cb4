# `make help` lists the targets. setup/ holds the steps that each do one thing and are quick when it is already done.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-long fuzz conformance check format pages bench bench-large bench-hapi lock clean

BIN := .venv/bin
# Whole files to each worker: what a module sets up once stays with its tests. The long files first, in the order of
# TESTS (left to itself, xdist begins with those of the most tests); the many quick ones fill what is left. A worker
# more than cores, for much of the time is spent waiting for real parts.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))
TESTS := tests/acceptance tests/integration tests/unit

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: Debian packages, .venv from the hash-locked file, OHIF, peers for tests
	@setup/packages
	@setup/venv
	@setup/ohif
	@setup/peers

demo: setup ## Play the whole story on real parts and stay up until Ctrl-C (EXIT=1: end by itself)
	@setup/ports
	@$(BIN)/interop demo $(if $(filter 1 yes true,$(EXIT)),--exit)

run: setup ## Everything up, no story: server, private Orthanc, viewer
	@setup/ports
	@$(BIN)/interop up

test: setup ## The whole suite on real parts: unit, integration, acceptance
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not long" $(TESTS)

test-long: setup ## The whole suite and the tests that take minutes each
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

fuzz: setup ## A million mutated HL7 frames through reading, mapping, writing (FRAMES=, SECONDS=, SEED=)
	$(BIN)/python -m tests.fuzz --frames $(or $(FRAMES),1000000) --seconds $(or $(SECONDS),3600) $(if $(SEED),--seed $(SEED))

conformance: setup ## Send the HL7 corpus (INTEROP_CORPUS) to a listener and write docs/conformance-hl7.md
	$(BIN)/python -m tests.conformance

check: setup ## ruff, mypy, import-linter, docs tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy -p bench
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit/docs

format: setup ## Let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pages: setup ## Write the pages that the code writes about itself (settings, lifecycle)
	$(BIN)/python -m setup.pages

bench: setup ## Measure, and write the figures to docs/performance.md
	$(BIN)/python -m bench

bench-large: setup ## Measure FHIR with a million resources (ENGINE=sqlite|postgresql, RESOURCES=, ROUNDS=)
	$(BIN)/python -m bench.large --engine $(or $(ENGINE),both) --resources $(or $(RESOURCES),1000000) --rounds $(or $(ROUNDS),3)

bench-hapi: setup ## Measure FHIR beside HAPI on one PostgreSQL (BENCH_HAPI=the war of its starter project)
	$(BIN)/python -m bench.hapi

lock: setup ## Bring requirements.lock and requirements-runtime.lock in line with pyproject.toml (UPGRADE=1: newest)
	@UPGRADE=$(UPGRADE) setup/lock

clean: ## Remove what was built and installed here (.venv, build/, caches); data/ stays
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
