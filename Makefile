# `make demo` and `make test` are all a newcomer needs; each sets up .venv first when that is not done yet.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# A process of one thread for each core, at most four. Each trains the small runs that its tests share, so the tests of a
# file stay together: `worksteal` gives each process one part of the tests, and moves some only at the end.
PYTEST := -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: setup demo test coverage lint types docs dependencies soak fuzz kill flips full-disk test-lowest test-newest

setup: $(VENV)/.installed

# Installed again only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("unboxed needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once; a few minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: setup
	@$(BIN)/unboxed demo

test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) $(PYTEST_OPTIONS)

# The tests with the lines and branches that they run, held against the floors in tests/coverage_floors.py.
coverage: PYTEST_OPTIONS = --cov --cov-report=json
coverage: test
	@$(BIN)/python tests/coverage_floors.py coverage.json

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

# Into site/, stopping at the first warning. The variable turns off an advertisement that the theme prints at every build.
docs: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# The table of dependencies with their licences.
dependencies: setup
	@$(BIN)/python packaging/dependencies.py

# 5,000 requests of 32 clients to a studio, whose memory must not grow.
soak: setup
	@$(BIN)/python tests/soak/studio_requests.py

# 20,000 damaged inputs for every kind of file that is read again.
fuzz: setup
	@UNBOXED_FUZZ=20000 $(BIN)/python -m pytest tests/fuzz

# 300 times a command is killed and repeated; all files must be those of an undisturbed one.
kill: setup
	@$(BIN)/python tests/kill/kill_commands.py --kills 300

# Commands on a disk that is full at 21 levels, and again with room; needs Linux and root, which mount the disk.
full-disk: setup
	@$(BIN)/python tests/kill/full_disk.py --levels 21

# 2,000 flipped bits of all files that are read again; each is refused, reported, or changes nothing.
flips: setup
	@$(BIN)/python tests/flips/flip_bits.py --flips 2000

# The tests with the oldest versions that pyproject.toml declares, and with the newest that pip finds. The oldest Starlette
# asks with httpx, and old packages use what newer ones deprecate.
test-lowest: PYTEST_OPTIONS = -W default::DeprecationWarning
test-lowest test-newest:
	@$(PYTHON) -m venv --clear .venv-$@
	@$(PYTHON) packaging/dependencies.py --lowest > .venv-$@/lowest.txt
	@.venv-$@/bin/python -m pip install --quiet $(if $(findstring lowest,$@),--constraint .venv-$@/lowest.txt httpx) --editable ".[dev]"
	@OMP_NUM_THREADS=1 .venv-$@/bin/python $(PYTEST) $(PYTEST_OPTIONS)
