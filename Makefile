# `make run` and `make test` are all a newcomer needs; both first make `.venv` with all extras.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
EXTRAS := probability,pipelines,serving,dev
# What decides whether the installation is still good: the package's metadata and whatever is compiled.
BUILD_FILES := pyproject.toml constraints.txt CMakeLists.txt $(shell find kernels/csrc -type f 2>/dev/null)

.PHONY: run test test-slow lint format lock wheel clean

run: $(STAMP)
	$(BIN)/ikelos run language_modeling

test: $(STAMP)
	$(BIN)/pytest -m "not slow"

test-slow: $(STAMP)
	$(BIN)/pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cc' '*.h')
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.cc' '*.h')

wheel: $(STAMP)
	$(BIN)/python -m build

# Two steps, since the native library is compiled against the TensorFlow that is already there: in an isolated build
# it would be downloaded a second time. uv, as it installs TensorFlow in seconds where pip takes minutes.
$(STAMP): $(BUILD_FILES)
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit(f"Python 3.11 to 3.13 is needed, PYTHON={sys.executable} is {sys.version}")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)  # pip comes last: without it the folder is half made
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
	  'tensorflow==2.21.*' scikit-build-core cmake ninja
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
	  --no-build-isolation --editable '.[$(EXTRAS)]'
	touch $@

# Every version of every package, for all supported Pythons at once.
lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate \
	  --output-file constraints.txt pyproject.toml build-requirements.in

clean:
	rm -rf $(VENV) build dist
