PYTHON := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
# What the tests of brokers and clusters need beside the rest.
ENGINE_REQUIREMENTS := -r requirements-celery.txt -r requirements-spark.txt

.PHONY: help run test test-engines servers check bench bench-growth bench-schedules bench-sources bench-runs secrets image-requirements image-sbom lint format types venv clean

help: ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: venv ## Start everything: the API on port 8000 (PORT=… for another)
	@exec $(PYTHON) -m devtools.run

test: venv ## Run the tests on servers of their own: make test ARGS="-k cron"
	@exec $(PYTHON) -m devtools.servers -- $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

test-engines: venv ## Run the tests that need brokers or clusters; CI does not
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check $(ENGINE_REQUIREMENTS)
	@exec $(PYTHON) -m devtools.servers -- $(PYTHON) -m pytest -m engines runs/tests/engines $(ARGS)

servers: venv ## Hold the test servers up, for quick repeated test runs
	@exec $(PYTHON) -m devtools.servers

check: ## Run all that CI runs
	@.ci/run

bench: venv ## Measure beside a FastAPI peer: make bench ARGS="--rounds 3 --only read"
	@exec $(PYTHON) -m benchmarks $(ARGS)

bench-growth: venv ## Measure with 100, 10,000 and 1,000,000 records
	@exec $(PYTHON) -m benchmarks.growth $(ARGS)

bench-schedules: venv ## Measure how late slots are queued, of 100,000 schedules
	@exec $(PYTHON) -m benchmarks.schedules $(ARGS)

bench-sources: venv ## Measure previews beside plain scripts on PostgreSQL and MariaDB
	@exec $(PYTHON) -m benchmarks.sources $(ARGS)

bench-runs: venv ## Measure runs beside dlt, pandas and psql: make bench-runs ARGS="--rows 300000"
	@exec $(PYTHON) -m benchmarks.runs $(ARGS)

secrets: venv ## Make the keys and passwords of compose.yaml, below ./secrets
	@$(PYTHON) -m devtools.keyfiles

image-requirements: venv ## Renew the hashes of all that the image installs
	@$(PYTHON) -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --output-file=requirements-image.txt requirements.txt

image-sbom: venv ## List all that the image installs, as CycloneDX: sbom.json
	@.venv/bin/python -m cyclonedx_py requirements requirements-image.txt --output-file sbom.json

lint: venv ## Look for mistakes and for imports that cross a border
	@$(PYTHON) -m ruff check .
	@.venv/bin/lint-imports

format: venv ## Format the code
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix --quiet .

types: venv ## Check the types
	@$(PYTHON) -m devtools.servers --only none -- $(PYTHON) -m mypy .

venv:
	@python=$$(devtools/find-python) && exec "$$python" -m devtools.venv

clean: ## Remove what `make run` keeps: demo data, first login, logs
	@rm -rf "$$(readlink -f .run/postgres)" .run staticfiles
