# `make run` and `make test` are all a newcomer needs; both first make `.venv` with all extras.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
EXTRAS := probability,pipelines,serving,dev
DIST := dist
comma := ,
# What decides whether the installation is still good: the package's metadata and whatever is compiled.
BUILD_FILES := pyproject.toml constraints.txt CMakeLists.txt $(shell find kernels/csrc -type f 2>/dev/null)

.PHONY: run test test-slow test-more test-aarch64 test-tfx test-image serving-docker soak docs sanitize lint format lock wheel test-wheel clean

run: $(STAMP)
	$(BIN)/ikelos run language_modeling

# The files in their order, not those with the most tests first: a long one would come last, with nothing beside it.
test: $(STAMP)
	$(BIN)/pytest -m "not slow and not tfx" --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/pytest -m "slow and not tfx"
	tests/pipelines/tfx/environment.sh pytest -m "slow and tfx" tests/pipelines/tfx tests/benchmarks

# Clients of `ikelos serve` for ten minutes, who also send malformed requests and break connections.
soak: $(STAMP)
	$(BIN)/pytest -s tests/serving/server/test_soak.py -k long

# Slow tests that every change must pass: the C++ tests of the core, and each script of `benchmarks/` on a small case.
test-more: $(STAMP)
	$(BIN)/pytest -m "slow and not tfx" --numprocesses=2 --dist=loadfile tests/kernels/test_core.py tests/benchmarks

# The C++ tests of the core, for 64-bit ARM in an emulator.
test-aarch64: $(STAMP)
	PATH="$(abspath $(BIN)):$$PATH" kernels/csrc/tests/aarch64.sh

# In an environment of its own: TFX wants other versions of some packages, and a newer system than the rest. The files
# in their order: that of Airflow, in which processes often wait for each other, takes longest and comes first.
test-tfx:
	tests/pipelines/tfx/environment.sh pytest -m "tfx and not slow" --numprocesses=2 --dist=loadfile \
	  --no-loadscope-reorder tests/pipelines/tfx

# The image for Kubeflow, built and tried; as root.
test-image: wheel
	tests/pipelines/tfx/image.sh

# TensorFlow Serving in Docker, with the deployment that `ikelos deploy render` writes and requests to it. FLAGS are more
# of its options, such as FLAGS='--image tensorflow/serving:latest'.
serving-docker: $(STAMP)
	tests/serving/docker/run.sh $(FLAGS)

# In an environment of its own: the builder wants other versions of what the data set of the plays brings.
docs: $(STAMP)
	$(BIN)/uv run --quiet --no-project --isolated --with-requirements docs/.build/requirements.txt \
	  zensical build --strict --clean

# The kernels' core and its C++ tests, without TensorFlow: as they ship, then under the sanitizers. The fuzzers make
# random calls and check their results.
sanitize: sanitize-none sanitize-address sanitize-thread

SANITIZER_none :=
SANITIZER_address := -fsanitize=address,undefined -fno-sanitize-recover=all -g
SANITIZER_thread := -fsanitize=thread -g
CALLS_none := 100000
CALLS_address := 100000
CALLS_thread := 5000
CACHED_CALLS_none := 40000
CACHED_CALLS_address := 20000
CACHED_CALLS_thread := 2000
RECURRENT_CALLS_none := 40000
RECURRENT_CALLS_address := 20000
RECURRENT_CALLS_thread := 2000

sanitize-%: $(STAMP)
	$(BIN)/cmake -S . -B build/sanitize-$* -DIKELOS_BUILD_OPS=OFF -DIKELOS_BUILD_TESTS=ON \
	  -DCMAKE_CXX_FLAGS='$(SANITIZER_$*)'
	$(BIN)/cmake --build build/sanitize-$* --parallel 2
	build/sanitize-$*/test_core
	build/sanitize-$*/test_team
	build/sanitize-$*/test_exp2
	build/sanitize-$*/test_activations
	build/sanitize-$*/test_half
	build/sanitize-$*/test_attention
	build/sanitize-$*/fuzz_attention $(CALLS_$*)
	build/sanitize-$*/test_cached_attention
	build/sanitize-$*/fuzz_cached_attention $(CACHED_CALLS_$*)
	build/sanitize-$*/test_recurrent
	build/sanitize-$*/fuzz_recurrent $(RECURRENT_CALLS_$*)
	build/sanitize-$*/test_dense
	build/sanitize-$*/test_rotary
	build/sanitize-$*/test_swiglu

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

# Built by what .venv holds, and so for the TensorFlow of constraints.txt. auditwheel names the oldest systems that have
# what the library needs, and would copy TensorFlow's two libraries into the wheel: they stay in the package beside it.
wheel: $(STAMP)
	rm -rf build/wheel $(DIST)/ikelos-*
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m build --no-isolation --outdir build/wheel
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --wheel-dir $(DIST) \
	  --exclude libtensorflow_framework.so.2 --exclude libtensorflow_cc.so.2 build/wheel/ikelos-*.whl
	mv build/wheel/ikelos-*.tar.gz $(DIST)

# What `make wheel` built, as a user gets it: in a new environment, with its dependencies from the index.
test-wheel:
	$(PYTHON) tests/wheel/check.py $(DIST)/ikelos-*.whl

# Two steps, since the native library is compiled against the TensorFlow that is already there: in an isolated build
# it would be downloaded a second time. uv, as it installs TensorFlow in seconds where pip takes minutes. Both are quiet,
# as they would list every package; a line before each step says why nothing is printed for a while.
$(STAMP): $(BUILD_FILES)
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit(f"Python 3.11 to 3.13 is needed, PYTHON={sys.executable} is {sys.version}")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)  # pip comes last: without it the folder is half made
	@echo 'Setting up $(VENV), once; each time is that of two cores and a fast network.'
	@echo '1 of 3: installing uv (10 seconds)'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	@echo '2 of 3: downloading TensorFlow and the build tools (1 minute)'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
	  'tensorflow==2.21.*' scikit-build-core cmake ninja
	@echo '3 of 3: compiling the native library and installing all other packages (1 to 3 minutes)'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
	  --no-build-isolation --editable '.[$(EXTRAS)]'
	touch $@

# Every version of every package, for all supported Pythons at once.
lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 $(patsubst %,--extra %,$(subst $(comma), ,$(EXTRAS))) \
	  --no-header --no-annotate --output-file constraints.txt pyproject.toml build-requirements.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate \
	  --output-file tfx_configs/constraints.txt pyproject.toml build-requirements.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	  --output-file tests/pipelines/tfx/airflow.txt tests/pipelines/tfx/airflow.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	  --output-file docs/.build/requirements.txt docs/.build/requirements.in

clean:
	rm -rf $(VENV) build dist
