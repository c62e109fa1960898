# The door to everything: `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Hundreds of tests start the program: each would compile it anew if Python may not keep what it compiled.
unexport PYTHONDONTWRITEBYTECODE
IN_PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder
# To import and collect all the others takes longer than most of them.
SLOW_FILES = $(sort $(shell grep --recursive --files-with-matches --include='test_*.py' 'mark\.slow' tests))

.PHONY: help demo demo-clean test quick-tests test-slow check lint types format docs parts chart chart-update helm-test image run-local run-local-clean \
	e2e-image e2e-arm64 e2e-kind e2e-compose reproduce sbom audit bench bench-anomaly bench-forecast bench-compare bench-discovery bench-pages bench-storage lock clean

help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made anew only when what is locked changes. Python compiles what is imported, a tenth of it.
# The first lock brings a newer pip than Python's own, which takes three times as long to find the packages.
$(READY): requirements-build.lock requirements-dev.lock pyproject.toml
	@echo "Preparing the Python environment in $(VENV) (once) ..."
	@$(PYTHON) -c 'import sys; sys.exit("costbatch needs Python 3.11 or newer; this is " + sys.version.split()[0] + ".") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@for lock in requirements-build.lock requirements-dev.lock; do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r $$lock; done
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Collect from a simulated AWS into an embedded PostgreSQL: no Docker, no account, no configuration.
	@$(BIN)/costbatch demo

demo-clean: ## Remove everything that the demo keeps.
	@rm -rf .demo

# Lint and types run beside the tests. Files are dealt out in their order, long ones first: see tests/README.md.
# Coverage doubles what many tests take: continuous integration measures it, and so does CI=true.
test: ## Run the tests, with lint and types; with CI=true also with coverage.
	@$(MAKE) --no-print-directory --jobs=2 $(READY) parts
	@$(MAKE) --no-print-directory --jobs=2 check quick-tests

quick-tests:
	@$(BIN)/pytest $(IN_PARALLEL) -m "not slow" $(if $(CI),--cov --cov-report=term)

test-slow: $(READY) parts ## Run the slow tests: the demo, the benchmarks on a few accounts, interpreters in odd environments, deaths and signals in the middle of a write, long replays.
	@$(BIN)/pytest $(IN_PARALLEL) -m slow $(SLOW_FILES)

check: lint types ## Lint and type-check, Python and shell and Dockerfile.

lint: $(READY) ## Lint.
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/shellcheck --external-sources .ci/* docker/postgres/entrypoint
	@$(BIN)/hadolint Dockerfile docker/*/Dockerfile

types: $(READY) ## Check the types.
	@$(BIN)/mypy

format: $(READY) ## Format the code and sort the imports.
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

docs: $(READY) ## Regenerate everything in the documents that comes from the program: tables, outputs, the picture.
	@$(BIN)/python -m tests.support.documents
	@$(BIN)/python -m tests.chart.generate
	@UPDATE_SAMPLES=1 $(BIN)/pytest --quiet tests/regressions/test_samples.py

chart: $(READY) ## Lint the Helm chart and package it into dist/.
	@npm ci --silent
	@node_modules/.bin/helm lint --strict helm/costbatch --values tests/chart/values/everything.yaml
	@node_modules/.bin/helm package helm/costbatch --destination dist

chart-update: $(READY) ## Regenerate the chart's files and snapshots after a change of values or settings.
	@$(BIN)/python -m tests.chart.generate
	@UPDATE_SNAPSHOTS=1 $(BIN)/pytest --quiet tests/chart/test_chart_manifests.py

helm-test: $(READY) parts ## Test the Helm chart alone.
	@$(BIN)/pytest tests/chart $(IN_PARALLEL)

image: ## Build the image and the trial's, with Docker or with buildah.
	@.ci/image release demo

run-local: ## Run against a docker-compose PostgreSQL and the simulated AWS; MONITORING=1 adds Prometheus.
	@.ci/run-local $(if $(MONITORING),--monitoring)

run-local-clean: ## Remove everything that run-local keeps.
	@.ci/run-local --clean

e2e-image: $(READY) ## Build the image without a Docker engine and run it hardened, through every exit status.
	@.ci/e2e-image

e2e-arm64: $(READY) ## Build the image for arm64 and run it hardened, on an emulated processor if needed.
	@.ci/e2e-arm64

e2e-kind: ## Install the chart on a kind cluster of its own: trial mode, a manual Job, helm test.
	@.ci/e2e-kind

e2e-compose: ## Run docker-compose.yml on a Docker engine of its own.
	@.ci/e2e-compose

reproduce: ## Build the image twice from nothing and compare the layers.
	@.ci/reproduce

sbom: ## Write the image's bill of materials (CycloneDX).
	@.ci/sbom

audit: ## Look the locked packages up among known vulnerabilities.
	@.ci/audit requirements.lock requirements-build.lock requirements-demo.lock

parts: ## Install the system parts that some tests use: npm, Pushgateway, Prometheus, promtool, Alertmanager and PgBouncer.
	@.ci/parts

bench: $(READY) ## Measure each target of the whole program, and compare with the committed figures (more than an hour).
	@$(BIN)/python -m benchmarks.collect --output .cache/bench/collect.json

bench-anomaly: $(READY) ## Compare the detectors on labelled cost: two made families, or the data sets in DATA (about 25 minutes).
	@$(BIN)/python -m benchmarks.anomaly $(DATA)

bench-forecast: $(READY) ## Compare the forecast of the month with what came: two made families, or the data sets in DATA (a minute).
	@$(BIN)/python -m benchmarks.forecast $(DATA)

bench-compare: $(READY) ## Measure whole nights of costbatch, of a plain script and of dlt (about 13 minutes).
	@$(BIN)/python -m benchmarks.collect comparison --output .cache/bench/comparison.json

bench-discovery: $(READY) ## Measure nights of discovery: the first, an unchanged one, one with changes, a large account (about 4 minutes).
	@$(BIN)/python -m benchmarks.discovery --output .cache/bench/discovery.json

bench-pages: $(READY) ## Regenerate benchmarks/comparison.md and benchmarks/growth.md from the committed figures.
	@$(BIN)/python -m benchmarks.pages

bench-storage: $(READY) ## Measure the storage layouts against each other (about 9 minutes at 20 million rows).
	@$(BIN)/python -m benchmarks.storage_layout --output benchmarks/results/storage_layout.json

lock: $(READY) ## Resolve the dependencies again and pin them by hash.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra notify pyproject.toml --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra demo --extra notify --group dev pyproject.toml --output-file requirements-dev.lock
	@printf 'hatchling>=1.27\npip>=26\n' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate - --output-file requirements-build.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra demo --extra notify --constraint requirements-dev.lock pyproject.toml --output-file requirements-demo.lock
	@printf 'cyclonedx-bom>=7\npip-audit>=2.9\n' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate - --output-file requirements-supply.lock

clean: demo-clean ## Remove everything that make created.
	@rm -rf $(VENV) .cache node_modules .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* htmlcov dist
