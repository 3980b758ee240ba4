# Everything that is done with this project is a target of this file; `make help` lists them.
# A target sets up what it needs once and reuses it afterwards.

PYTHON ?= /usr/bin/python3
QGIS_PYTHON ?= /usr/bin/python3
SCENE ?= simulated
STF_DATA ?= $(abspath ../shared/data)

ENGINE := PYTHONPATH=$(CURDIR)/core .venv/bin/python
ENGINE_READY := .venv/.stf-engine
DEV_READY := .venv/.stf-dev
QGIS_READY := .venv-qgis/.stf-ready
PIP := -m pip --disable-pip-version-check install --quiet

# numba looks at a kernel's own file only, not at what it calls: each state of the kernels has a cache of its own.
export NUMBA_CACHE_DIR ?= $(CURDIR)/.venv/numba-cache/$(shell cat core/stfusion/*/_*.py | cksum | cut -d' ' -f1)
export STF_DATA

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

## What a person runs

.PHONY: demo
demo: engine qgis build ## Fuse a scene through QGIS and judge it; SCENE=simulated (default), or one of benchmarks/scenes.py such as salton
	$(ENGINE) benchmarks/demo.py --scene $(SCENE)

.PHONY: test
test: dev qgis-env window build ## Run every test, those in QGIS and in a QGIS window too
	$(PYTHON) tools/test.py

.PHONY: check
check: dev package ## Style, types, and the gate of the plugin repository
	$(ENGINE) -m ruff check .
	$(ENGINE) -m mypy
	$(ENGINE) tools/generate.py --check
	$(ENGINE) tools/gate.py

.PHONY: bench
bench: engine ## Measure our methods beside peers, and write docs/benchmarks.md; BENCH='--help' lists what can be chosen
	-@bash tools/system.sh gdal-bin python3-gdal python3-venv
	$(ENGINE) benchmarks/bench.py --python $(PYTHON) $(BENCH)

.PHONY: results
results: engine ## Compare all methods on every scene and write docs/results.md
	$(ENGINE) benchmarks/results.py

.PHONY: sharpened
sharpened: engine ## Pansharpen a real scene by every method and write docs/pansharpening-results.md
	$(ENGINE) benchmarks/sharpened.py

.PHONY: series
series: engine ## Fuse the time series of a simulated and two real scenes, and write the figures and pictures of their pages
	$(ENGINE) benchmarks/series.py

.PHONY: package
package: build ## Make the zip that QGIS installs, in dist/
	$(PYTHON) tools/package.py zip

.PHONY: build
build: python ## Put together what QGIS loads, in build/stf_qgis_plugin
	$(PYTHON) tools/package.py stage

.PHONY: generate
generate: python ## Make resources/methods.json and the documentation from the declarations
	$(PYTHON) tools/generate.py

.PHONY: docs-images
docs-images: SCENE = simulated
docs-images: demo ## Make the demo's picture the one of the documentation
	mkdir -p docs/images
	$(ENGINE) -c 'from PIL import Image; Image.open("demo/simulated.png").quantize(256).save("docs/images/demo.png", optimize=True)'

## What these need

.PHONY: python
python: ## Install Python when it is absent
	@command -v $(PYTHON) > /dev/null || bash tools/system.sh python3

.PHONY: engine
engine: $(ENGINE_READY) ## Make .venv: the engine's environment, base packages only

$(ENGINE_READY): core/requirements.txt
	@bash tools/system.sh python3-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "The engine needs Python 3.10 or newer; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(ENGINE) $(PIP) -r core/requirements.txt
	touch $@

.PHONY: dev
dev: $(DEV_READY) ## Add the packages of the tests and checks to .venv

$(DEV_READY): $(ENGINE_READY) requirements-dev.txt core/requirements-networks.txt core/requirements-cluster.txt
	$(ENGINE) $(PIP) -r requirements-dev.txt
	touch $@

.PHONY: qgis
qgis: ## Install QGIS through apt when it is absent
	@bash tools/system.sh qgis python3-qgis python3-gdal

.PHONY: window
window: ## Install what a QGIS window without a screen needs
	@bash tools/system.sh xvfb xauth fonts-dejavu-core

.PHONY: qgis-env
qgis-env: qgis $(QGIS_READY) ## Make .venv-qgis: QGIS's own Python with pytest

$(QGIS_READY): requirements-dev.txt
	@bash tools/system.sh python3-venv
	$(QGIS_PYTHON) -m venv --system-site-packages .venv-qgis
	grep '^pytest' requirements-dev.txt | .venv-qgis/bin/python $(PIP) -r /dev/stdin
	touch $@

## Clearing up

.PHONY: clean
clean: ## Remove what was built; the environments stay
	rm -rf build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .venv/numba-cache

.PHONY: distclean
distclean: clean ## Remove the environments as well
	rm -rf .venv .venv-qgis
