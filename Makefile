# Two commands on a fresh machine with Python 3.11 or later: `make demo` and `make test`. Both set up all they need.

# The newest Python present. Each candidate is run: a name may exist and not work, as those of pyenv for versions that
# are not switched on, or lack the modules that create virtual environments, as some distributions' without their -venv.
CANDIDATES := python3.14 python3.13 python3.12 python3.11 python3 python
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(firstword $(foreach name,$(CANDIDATES),$(shell $(name) -c '$(USABLE)' 2>/dev/null && echo $(name)))),$(NO_PYTHON))
NO_PYTHON = $(error no Python 3.11 or later with venv and ensurepip found; tried $(CANDIDATES). Install one, or give it: make PYTHON=/path/to/python)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check deploy-check format fuzz soak bench bench-quick bench-compare lock clean
.DEFAULT_GOAL := test

$(READY): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

demo: $(READY)  ## the daemon on the local target, with an example application sending to it
	$(BIN)/sidecar demo

# Half of the tests' time is waiting. They start hundreds of interpreters, which must not compile everything each time.
test: $(READY)  ## every test; says what is skipped, and why
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 4 --dist worksteal -rs

check: $(READY)  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

deploy-check: $(READY)  ## charts, alert rules, HCL and the image with their own tools, where they are installed: BASE=... names another base image
	$(BIN)/python deploy/check.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(READY)  ## decoders, configuration and command line against much garbage, and a thousand lives of a daemon
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest tests/faults/test_fuzz.py tests/faults/test_fuzz_config.py tests/life/test_whole_life.py --timeout 3600

soak: $(READY)  ## long runs of failures, with memory printed: about half an hour
	$(BIN)/python -m pytest -m soak --timeout 3600 -rP

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
