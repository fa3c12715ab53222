# `make help` lists everything. Python 3.11 or newer and a package index are all that is needed.
PYTHON ?= python3
RUN_ENV := .venv
DEV_ENV := .venv-dev
BIN := $(DEV_ENV)/bin
PYTEST := $(BIN)/python -m pytest -n $(or $(WORKERS),2)

.DEFAULT_GOAL := help
.PHONY: help run test test-postgres test-faults test-storm fuzz lint types imports drift format lock goldens docs openapi validate examples audit demo checks check bench clean

help: ## List what can be made
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  %-16s %s\n", $$1, $$2}'

$(RUN_ENV)/ready: requirements/run.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(RUN_ENV)
	$(RUN_ENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(RUN_ENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(DEV_ENV)/ready: requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(DEV_ENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: $(RUN_ENV)/ready ## Start the service, a worker and a sandbox EHR, and send an example pathway through them
	$(RUN_ENV)/bin/pathway-fhir demo --port $(or $(PORT),8000) --sandbox-port $(or $(SANDBOX_PORT),8001)

test: $(DEV_ENV)/ready ## Run the tests
	$(PYTEST) -m "not postgres and not slow and not storm and not fuzz and not browser and not demo"

test-postgres: $(DEV_ENV)/ready ## Run on PostgreSQL what runs on both databases
	$(PYTEST) -m "postgres and not slow and not demo"

test-faults: $(DEV_ENV)/ready ## Kill processes and statements, write for long from many sides: minutes, on both databases
	$(PYTEST) -m slow

test-storm: $(DEV_ENV)/ready ## Deliver by the ten thousand while workers are killed and PostgreSQL is restarted: a quarter of an hour at most
	$(PYTEST) -n 0 -m storm

fuzz: $(DEV_ENV)/ready ## Call every operation of openapi.yaml with whatever its schemas allow, and with what they do not
	$(PYTEST) -m fuzz

lint: $(DEV_ENV)/ready ## Check style rules, of the Dockerfile too
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile

types: $(DEV_ENV)/ready ## Check types, strictly
	$(BIN)/mypy

imports: $(DEV_ENV)/ready ## Check who may import whom
	$(PYTEST) -n 0 tests/test_architecture.py

drift: $(DEV_ENV)/ready ## Check that openapi.yaml is what the code makes of it
	$(PYTEST) -n 0 tests/openapi/test_drift.py

format: $(DEV_ENV)/ready ## Sort imports and mend what can be mended by itself
	$(BIN)/ruff check --fix .

lock: $(DEV_ENV)/ready ## Lock the dependencies anew, with their hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml requirements/build.in -o requirements/run.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml requirements/build.in --group dev -o requirements/dev.lock

goldens: $(DEV_ENV)/ready ## Write the golden views anew from their entities
	$(BIN)/python -m tests.mappings.goldens

docs: $(DEV_ENV)/ready ## Write the definitions and the mapping tables anew from the code
	$(BIN)/python -m tests.mappings.published

openapi: $(DEV_ENV)/ready ## Write openapi.yaml anew from routes, schemas and real calls
	$(BIN)/python -m tests.openapi.recording

validate: $(DEV_ENV)/ready ## Hold what we emit against FHIR with HL7's validator (needs JDK 17 and Maven)
	$(BIN)/python -m tests.mappings.generated build/generated
	mvn --batch-mode --quiet --file conformance/pom.xml compile dependency:build-classpath -Dmdep.outputFile=target/cp
	java -Xmx3g -cp conformance/target/classes:$$(cat conformance/target/cp) Conformance --define docs/definitions --allow conformance/allowed.tsv \
		--strict docs/definitions --strict tests/golden --errors build/generated --wrong conformance/wrong

examples: $(DEV_ENV)/ready ## Run every command and snippet of the documents, and FHIR libraries and a server as they come, against a running demo
	$(PYTEST) tests/interop tests/whole/test_documents.py

audit: $(DEV_ENV)/ready ## Look for known vulnerabilities of what is locked, as far as the package index tells of them
	$(BIN)/pip-audit --requirement requirements/run.lock --require-hashes --disable-pip --progress-spinner off

demo: $(DEV_ENV)/ready ## Check `make run` as a stranger runs it: in a fresh checkout, twice, and ended by Ctrl-C
	$(PYTEST) -n 0 -s tests/whole/test_make_run.py

checks: export PATHWAY_FHIR_TEST_DELIVERIES ?= 4000
checks: lint types imports drift test-postgres test-faults test-storm fuzz validate examples audit demo ## Everything that must hold beside the tests

check: test checks ## Everything that must hold

bench: $(DEV_ENV)/ready ## Measure: minutes, on both databases; benchmarks/README.md says how
	$(BIN)/python -m benchmarks

clean: ## Remove what was made
	rm -rf $(RUN_ENV) $(DEV_ENV) var build *.egg-info
