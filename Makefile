# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`. Both set up everything they need.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format fuzz bench bench-quick bench-compare lock clean
.DEFAULT_GOAL := test

$(READY): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

demo: $(READY)  ## the daemon on the local target, with an example application sending to it
	$(BIN)/sidecar demo

test: $(READY)  ## every test
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal

check: $(READY)  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(READY)  ## every decoder against much garbage, and a thousand lives of a daemon
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest tests/faults/test_fuzz.py tests/test_whole_life.py --timeout 3600

bench: $(READY)  ## speed, memory and stalls, side by side with a bare receive loop: docs/benchmarks.md
	$(BIN)/python -m benchmarks

bench-quick: $(READY)  ## the same, shorter and coarser
	$(BIN)/python -m benchmarks --quick

bench-compare: $(READY)  ## the sidecar of one commit against another's: make bench-compare A=main~1 B=.
	$(BIN)/python -m benchmarks.compare $(A) $(B) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

lock:  ## the newest releases that go together, resolved in one install, into both lock files
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade ".[dev]"
	$(VENV)-lock/bin/python -m pip freeze --exclude cloudwatch-sidecar > requirements-dev.lock
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --constraint requirements-dev.lock .
	$(VENV)-lock/bin/python -m pip freeze --exclude cloudwatch-sidecar > requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
