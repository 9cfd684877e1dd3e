# make demo   train on real data with both compiled backends and compare them
# make test   everything that must pass: style, types, tests, each bench once
# make debug  the tests on Cython kernels that check every memory range
# make sanitize, make boundscheck   tests on Cython kernels under AddressSanitizer and UBSan, and on
#             Numba's with checked indices
# make test-minimum   tests on the oldest versions that pyproject.toml allows
# make test-ecosystem   tests with skl2onnx, skops and mlflow, in a separate environment
# make docs   the documentation: docs/_build/html/index.html
# make site-test   every page of the documentation in a browser (Chromium and chromedriver)
# make bench  the benchmarks of fastbp, scikit-learn, PyTorch and JAX
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test style nojit many-threads benches doctests debug sanitize boundscheck \
	test-minimum test-ecosystem docs site site-test kernels bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# Installed again only if one of these has changed.
SOURCES = pyproject.toml setup.py $(wildcard src_cython/*)

$(VENV)/demo: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/test: $(BIN)/python $(SOURCES)
	FASTBP_REQUIRE_CYTHON=1 $(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/docs: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

demo: $(VENV)/demo
	$(BIN)/python examples/demo.py

# Tests that must also pass if four threads run each of them at once.
IN_MANY_THREADS = $(addprefix tests/,backends/test_gradients.py backends/test_saturation.py \
	network/test_fit_step.py network/test_no_hidden_layers.py)

docs: $(VENV)/docs site

# A warning is an error: a dead link, a name without a page, a formula that cannot be drawn.
site:
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html

# `make test` opens ten pages, this target opens all of them.
site-test: $(VENV)/test site
	FASTBP_REQUIRE_BROWSER=1 $(BIN)/pytest tests/test_docs_browser.py --every-page

# Fills Numba's cache, since two processes of tests would otherwise compile the same kernels.
kernels:
	$(BIN)/python -m fastbp doctor --compile

# Tests in two processes at once, a file at a time, in the order of tests/conftest.py. Each process
# has one thread of NumPy's matrix products: four would be in each other's way on two cores.
BY_TWO = -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/test
	$(MAKE) --jobs 2 site kernels style
	FASTBP_REQUIRE_CYTHON=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest $(BY_TWO) -m "not serial"
	FASTBP_REQUIRE_CYTHON=1 $(BIN)/pytest -m serial
	$(MAKE) --jobs 2 nojit many-threads benches doctests

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

nojit:
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -m nojit --backend numba

many-threads:
	$(BIN)/pytest --parallel-threads=4 --backend cython,numba $(IN_MANY_THREADS)

benches:
	$(BIN)/pytest bench --benchmark-disable

doctests:
	$(BIN)/pytest --doctest-modules fastbp

BUILD_IN_PLACE = FASTBP_REQUIRE_CYTHON=1 $(BIN)/python setup.py --quiet build_ext --inplace --force

debug: $(VENV)/test
	$(BIN)/python -m pip install --quiet setuptools cython
	FASTBP_CYTHON_DEBUG=1 $(BUILD_IN_PLACE)
	$(BIN)/pytest --backend cython; status=$$?; $(BUILD_IN_PLACE); exit $$status

# Tests of kernels, for builds with more checks. (PyTorch and Numba do not work with sanitizers.)
OF_KERNELS = $(addprefix tests/backends/test_,gradients.py parity.py per_sample.py dropout.py vmath.py \
	saturation.py threads.py) $(addprefix tests/network/test_,fit_step.py bad_input.py properties.py \
	trace.py) $(addprefix tests/rules/test_,regularizers.py optimizers.py) tests/training/test_fit.py
SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

sanitize: $(VENV)/test
	$(BIN)/python -m pip install --quiet setuptools cython
	CFLAGS="$(SANITIZERS)" LDFLAGS="$(SANITIZERS)" $(BUILD_IN_PLACE)
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	$(BIN)/pytest -s --backend cython $(OF_KERNELS) -k "not numba and not torch"; \
	status=$$?; $(BUILD_IN_PLACE); exit $$status

# In a separate cache, since the compiled code differs.
boundscheck: $(VENV)/test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/boundscheck \
	$(BIN)/pytest --backend numba $(OF_KERNELS) -k "not cython"

# Warnings of old packages about each other are ignored. The tests that are left out compare with
# scikit-learn's newest behaviour.
MINIMUM = PIP_CONSTRAINT=tools/minimum-versions.txt .venv-minimum/bin/python -m
test-minimum:
	$(PYTHON) -m venv .venv-minimum
	$(MINIMUM) pip install --quiet --editable '.[cli,onnx]' hypothesis mpmath onnxruntime polars pytest
	$(MINIMUM) pytest -W default -m "not slow and not serial" -k "not docs and not bench and not \
	kinds_of_labels and not are_those_of_scikit_learn and not configurations and not metadata_routing \
	and not bad_quantiles and not prints_and_warns"

# With packages that the other tests do not need. Their warnings are ignored.
ECOSYSTEM = .venv-ecosystem/bin/python -m
test-ecosystem:
	$(PYTHON) -m venv .venv-ecosystem
	$(ECOSYSTEM) pip install --quiet --editable '.[onnx]' mlflow onnxruntime pytest skl2onnx skops
	$(ECOSYSTEM) pytest -W default tests/ecosystem

bench: $(VENV)/test
	$(BIN)/python -m fastbp bench

clean:
	rm -rf $(VENV) .venv-minimum .venv-ecosystem build docs/_build docs/generated *.egg-info fastbp/backends/*.so
