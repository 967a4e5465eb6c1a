# make run and make test do all set-up; see README.md.

PYTHON ?= python3
VENV ?= .venv

PROFILE ?= default
RUNTIME ?= native
# celery: on the machines where 'make worker' runs, with the Redis server CELERY_BROKER.
BACKEND ?= multiproc
WORKDIR ?=
INPUT_FILE_PH ?=
INPUT_FILE_ML ?=
DATA_FILE ?=
# Observed events: HDF5, CSV, Parquet or ROOT (docs/observed.md).
OBSERVED ?=
CORES ?=
# Pseudo-data: parameter point, file, seed.
THETA ?=
OUT ?= pseudo_data.h5
SEED ?= 1
# pyhf has an environment of its own, where the steps of its image run.
export VENV_RECAST ?= $(abspath $(VENV))-recast
# So has the command 'recast' of recast-atlas.
export VENV_ATLAS ?= $(abspath $(VENV))-atlas
# FRESH=1 runs all steps, also those that are done already.
FRESH ?=
# Settings to compare, and the data for it: those of the last run.
SWEEP ?= inputs/sweeps/default.yml
LAST_DATA = .yadage/workflow_ph/combine/data/combined_delphes.h5
MLFLOW_PORT ?= 5000
# reana-client has an environment of its own.
VENV_REANA ?= $(VENV)-reana
REANA_FILE ?= reana.yaml
REANA_WORKON ?= madminer-workflow
# Further options of 'python -m scripts.run', for instance ARGS='-p num_events=20000 -p seed=2'.
ARGS ?=

# Images: REGISTRY/OWNER/NAME:TAG; the registry is the engine's own unless it is named.
ENGINE ?= docker
REGISTRY ?=
OWNER ?= madminertool
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' steps/__init__.py)
TAG ?= $(VERSION)
COMMIT = $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)
# Options of the build, for instance --network host or --no-cache.
BUILD_ARGS ?=

RUN = $(VENV)/bin/python -m scripts.run
OPTIONS = --profile "$(PROFILE)" --runtime "$(RUNTIME)" --backend "$(BACKEND)" --workdir "$(WORKDIR)" \
	$(if $(CORES),--cores "$(CORES)") $(if $(FRESH),--fresh) $(ARGS)
PH = --input-file-ph "$(INPUT_FILE_PH)"
ML = --input-file-ml "$(INPUT_FILE_ML)" $(if $(OBSERVED),--observed-file "$(OBSERVED)")

.PHONY: help run run-ph run-ml run-recast recast-atlas pseudo-data status verify gc worker \
	reana-check reana-run reana-status reana-download sweep mlflow-server \
	yadage-run yadage-clean test test-slow test-all test-images test-faults test-fuzz check audit docs graph lock bench validate validate-networks validate-limits clean \
	build build-madminer build-ph build-ph-madgraph build-delphes build-ml build-recast build-workflow push wheelhouse

help:
	@echo "make run                                the whole analysis, from theory to limits"
	@echo "make run-ph [INPUT_FILE_PH=...]         physics alone"
	@echo "make run-ml DATA_FILE=... [INPUT_FILE_ML=...]  machine learning alone"
	@echo "make run-recast [DATA_FILE=...]         a signal against background and data of an analysis, by pyhf"
	@echo "make recast-atlas [INPUTS=...]          the same as an entry of recast-atlas's catalogue"
	@echo "make run OBSERVED=...                   observed limits beside the expected ones"
	@echo "make pseudo-data THETA='0.3,-0.2' [DATA_FILE=... OUT=... SEED=...]  events to try that with"
	@echo "make status [HALF=ph|ml]                what is done, what would run and why; runs nothing"
	@echo "make verify [WORKDIR=...]               what was changed by hand since the run"
	@echo "make gc [WORKDIR=...]                   delete kept steps that no results use"
	@echo "make sweep [SWEEP=...] [DATA_FILE=...]  settings of the training compared"
	@echo "make mlflow-server                      a tracking server; use it with MLFLOW_TRACKING_URI=..."
	@echo "make reana-check reana-run reana-status reana-download   the same on a REANA cluster"
	@echo "make worker CELERY_BROKER=... [CORES=...]  run steps of 'make run BACKEND=celery CELERY_BROKER=...'"
	@echo "make test                               the tests that every change needs, eight minutes"
	@echo "make test-all                           the long ones too (test-slow), and the images (test-images)"
	@echo "make test-faults [FAULTS=50|KILL_AT=0.5]  runs with a process killed, and one more to put it right"
	@echo "make test-fuzz [FUZZ=10000] [RUNS=100] [SEED=1]  broken input files checked, and some really run"
	@echo "make validate MADGRAPH_DIR=...          the built-in generator against MadGraph"
	@echo "make validate-networks                  networks against the exact ratio at parton level"
	@echo "make validate-limits [LIMITS=...]       what limits promise; two hours on one core"
	@echo "make check                              code style and types"
	@echo "make audit                              known vulnerabilities of the pinned packages"
	@echo "make docs graph                         generated documentation; pictures of the stages (needs graphviz)"
	@echo "make lock [LOCK_ARGS=--upgrade]         the pins of the requirements"
	@echo "make build [OWNER=...] [TAG=...]        container images (build-madminer, build-ph, build-ml, build-recast)"
	@echo "make wheelhouse                         packages for a build without network"
	@echo "make push REGISTRY=... OWNER=...        images to a registry"
	@echo "Variables: PROFILE=test|default|full|FILE WORKDIR=... CORES=... RUNTIME=native|docker|podman FRESH=1 ARGS=..."

# Tracked runs need MLflow's packages too, runs on other machines Celery's.
CELERY = $(if $(filter celery,$(BACKEND)),$(VENV)/celery.stamp)
TRACKED = $(VENV)/$(if $(MLFLOW_TRACKING_URI),mlflow,run).stamp

run: $(TRACKED) $(CELERY)
	@$(RUN) all $(OPTIONS) $(PH) $(ML)

run-ph: $(VENV)/run.stamp $(CELERY)
	@$(RUN) ph $(OPTIONS) $(PH)

run-ml: $(TRACKED) $(CELERY)
	@$(RUN) ml $(OPTIONS) $(ML) --data-file "$(DATA_FILE)"

# Docs: docs/recast.md. Events of DATA_FILE, or of the physics half, which then runs first.
run-recast: PROFILE := $(if $(filter default,$(PROFILE)),recast,$(PROFILE))
run-recast: $(VENV)/run.stamp $(VENV_RECAST)/recast.stamp $(CELERY)
	@$(RUN) $(if $(DATA_FILE),recast,ph-recast) $(OPTIONS) $(PH) --data-file "$(DATA_FILE)"

# The catalogue's entry recast.yml, listed, checked and run by recast-atlas; its steps run natively.
RECAST_ENTRY = madminer/reinterpretation
recast-atlas: $(VENV_ATLAS)/recast-atlas.stamp $(VENV_RECAST)/recast.stamp
	@export RECAST_ATLAS_CATALOGUE="$(CURDIR)" PYTHONPATH="$(CURDIR)" \
		RECAST_LOCAL_BACKENDSTRING=py:scripts.engine.atlas:Native; \
	$(VENV_ATLAS)/bin/recast catalogue check $(RECAST_ENTRY) && \
	$(VENV_ATLAS)/bin/recast run $(RECAST_ENTRY) $(if $(INPUTS),"$(INPUTS)") --backend local $(ARGS)

# Docs: docs/observed.md. Events of the last run, by default.
pseudo-data: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.pseudo_data --theta="$(THETA)" --out "$(OUT)" --seed "$(SEED)" \
		--data-file "$(or $(DATA_FILE),$(LAST_DATA))" \
		$(if $(INPUT_FILE_ML),--input-file-ml "$(INPUT_FILE_ML)") $(ARGS)

# Of the whole, or of one half.
status: $(TRACKED) $(CELERY)
	@$(RUN) $(or $(HALF),all) $(OPTIONS) --status $(if $(filter ml,$(HALF)),,$(PH)) \
		$(if $(filter ph,$(HALF)),,$(ML)) $(if $(filter ml,$(HALF)),--data-file "$(DATA_FILE)")

# Docs: docs/provenance.md.
verify: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.results verify --workdir "$(WORKDIR)"

gc: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.results gc --workdir "$(WORKDIR)"

# On each machine that shares this folder and the work directory; CELERY_BROKER as for the run.
worker: $(VENV)/celery.stamp
	@$(VENV)/bin/python -m scripts.worker $(if $(CORES),--cores "$(CORES)")

REANA = PYTHONPATH="$(CURDIR)" $(VENV_REANA)/bin/python -m scripts.reana
REANA_OPTIONS = --name "$(REANA_WORKON)" --file "$(REANA_FILE)"

# REANA_SERVER_URL and REANA_ACCESS_TOKEN come from the environment.
reana-check: $(VENV_REANA)/reana.stamp
	@$(REANA) check

reana-run: $(VENV_REANA)/reana.stamp
	@$(REANA) run $(REANA_OPTIONS) $(ARGS)

reana-status: $(VENV_REANA)/reana.stamp
	@$(REANA) status $(REANA_OPTIONS)

reana-download: $(VENV_REANA)/reana.stamp
	@$(REANA) download $(REANA_OPTIONS) --workdir "$(WORKDIR)"

sweep: $(VENV)/mlflow.stamp $(CELERY)
	@$(RUN) sweep $(OPTIONS) $(ML) --sweep-file "$(SWEEP)" --data-file "$(or $(DATA_FILE),$(LAST_DATA))"

# A database and files below .mlflow, where 'make sweep' writes too.
mlflow-server: $(VENV)/mlflow.stamp
	@mkdir -p .mlflow
	@echo "http://127.0.0.1:$(MLFLOW_PORT): look at it, and 'make run MLFLOW_TRACKING_URI=http://127.0.0.1:$(MLFLOW_PORT)'"
	@MLFLOW_DISABLE_TELEMETRY=true $(VENV)/bin/mlflow server --host 127.0.0.1 --port $(MLFLOW_PORT) \
		--backend-store-uri "sqlite:///$(CURDIR)/.mlflow/mlflow.db" \
		--artifacts-destination "$(CURDIR)/.mlflow/mlartifacts"

yadage-run: run

yadage-clean:
	@rm -rf $(foreach half,.yadage .yadage-ph .yadage-ml .yadage-sweep,$(half) $(half).failed)

# $(call pytest,MARKERS): REANA is tested with its own client.
define pytest
	@VENV_REANA="$(abspath $(VENV_REANA))" OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m $(1) \
		-n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)
endef

test: $(VENV)/test.stamp $(VENV_REANA)/reana.stamp $(VENV_RECAST)/recast.stamp
	$(call pytest,"not slow and not images")

# What takes long or needs programs of the system: redis-server, an engine for containers.
test-slow: $(VENV)/test.stamp $(VENV_REANA)/reana.stamp $(VENV_RECAST)/recast.stamp \
		$(VENV_ATLAS)/recast-atlas.stamp
	$(call pytest,"slow and not images")

test-all: test test-slow test-images

# Half an hour on two cores; default runs killed after shares of their time: KILL_AT='0.25 0.5 0.75'.
test-faults: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.faults --n $(or $(FAULTS),50) $(if $(KILL_AT),--at $(KILL_AT))

# The checks a quarter of an hour on one core, the runs half an hour.
test-fuzz: $(VENV)/test.stamp
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.fuzz --n $(or $(FUZZ),10000) \
		--runs $(or $(RUNS),100) --seed "$(SEED)"

test-images: $(VENV)/test.stamp $(VENV_REANA)/reana.stamp
	@tests/images/host.sh start; status=$$?; \
	if [ $$status = 3 ]; then echo "1 skipped: the images were not tested"; exit 0; fi; \
	[ $$status = 0 ] && PATH="$(abspath $(VENV))/bin:$$PATH" \
		VENV_REANA="$(abspath $(VENV_REANA))" \
		$(VENV)/bin/python -m pytest -m images tests/images tests/reana; status=$$?; \
	tests/images/host.sh stop; exit $$status

check: $(VENV)/test.stamp
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

# Needs the network; status 3 where it cannot tell.
audit: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.audit $(ARGS)

# The parts of the documentation that the code knows.
docs: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.docs

# Pictures of the specifications.
graph: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.graph $(ARGS)

validate: $(VENV)/run.stamp validate-networks validate-limits
	@$(VENV)/bin/python -m scripts.validate

validate-networks: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.parton_level $(ARGS)

# Events of five seeds, of the second analysis, and of W Z: a MadMiner file of your own in WZ=...
# has more of them. LIMITS="--only random --n 50 --seed 2" chooses.
LIMITS_DIR = .yadage-limits
LIMITS ?=
WZ ?= tests/inference/wz.h5
validate-limits: $(VENV)/run.stamp
	@for seed in 1 2 3 4 5; do \
		$(RUN) ph --workdir "$(LIMITS_DIR)/$$seed" -p seed=$$seed || exit 1; done
	@$(RUN) ph --workdir "$(LIMITS_DIR)/photons" --input-file-ph ph/jets_photons.yml -p num_events=0
	@$(VENV)/bin/python -m scripts.validate_limits $(LIMITS_DIR)/[1-5]/combine/data/combined_delphes.h5 \
		--other "default, with photons=$(LIMITS_DIR)/photons/combine/data/combined_delphes.h5" \
		--other "W Z=$(WZ)" $(LIMITS)

bench: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.bench

IMAGE = $(if $(REGISTRY),$(REGISTRY)/)$(OWNER)

# $(call build,folder,name,options): build an image from its folder and say how large it is.
define build
	@$(ENGINE) build --file docker/$(1)/Dockerfile --tag $(IMAGE)/$(2):$(TAG) \
		--build-arg VERSION=$(VERSION) $(3) $(BUILD_ARGS) .
	@$(ENGINE) image inspect --format '{{.Size}}' $(IMAGE)/$(2):$(TAG) | \
		awk '{ printf "$(IMAGE)/$(2):$(TAG): %.0f MB\n", $$1 / 1e6 }'
endef

FROM_OURS = --build-arg BASE_IMAGE=$(IMAGE)/madminer:$(TAG)

build: build-ph build-workflow build-recast

build-madminer:
	$(call build,madminer,madminer)

build-ph: build-madminer
	$(call build,ph,madminer-workflow-ph,$(FROM_OURS))

build-ml: build-madminer
	$(call build,ml,madminer-workflow-ml,$(FROM_OURS) --build-arg COMMIT=$(COMMIT))

# Both halves and the runner, for clusters without Yadage or REANA.
build-workflow: build-ml
	$(call build,workflow,madminer-workflow,--build-arg BASE_IMAGE=$(IMAGE)/madminer-workflow-ml:$(TAG))

# With Delphes: make build-delphes, then
# make build-ph-madgraph BUILD_ARGS='--build-arg DETECTOR_IMAGE=madminertool/madminer-delphes:TAG'.
FROM_PH = --build-arg BASE_IMAGE=$(IMAGE)/madminer-workflow-ph:$(TAG) \
	--build-arg DETECTOR_IMAGE=$(IMAGE)/madminer-workflow-ph:$(TAG)
build-ph-madgraph: build-ph
	$(call build,ph-madgraph,madminer-workflow-ph-madgraph,$(FROM_PH))

# Stands by itself: its packages exclude those of the others.
build-recast:
	$(call build,recast,madminer-workflow-recast)

build-delphes:
	$(call build,delphes,madminer-delphes)

# DOCKERUSER and DOCKERPASS come from the environment; the login is forgotten at the end.
push: build
	@if [ -n "$$DOCKERUSER" ]; then \
		config=$$(mktemp -d) && trap 'rm -rf "$$config"' EXIT && \
		export DOCKER_CONFIG="$$config" REGISTRY_AUTH_FILE="$$config/auth.json" && \
		printf '%s' "$$DOCKERPASS" | \
			$(ENGINE) login --username "$$DOCKERUSER" --password-stdin $(REGISTRY) || exit 1; \
	fi; \
	for name in madminer $(addprefix madminer-workflow,-ph -ml -recast) madminer-workflow; do \
		$(ENGINE) push $(IMAGE)/$$name:$(TAG) || exit 1; \
	done

# Wheels for the Python of the images' Debian, and Debian's packages where an engine can fetch them.
MANYLINUX = 2_28 2_27 2_26 2_24 2_17 2_12 2_5
# The packages without a wheel in the index, all of plain Python, are built here.
UNBUILT = glob2|jsonpath-rw|pydotplus
wheelhouse: $(VENV)/run.stamp
	@$(VENV)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--wheel-dir docker/wheelhouse $$(grep -E '^($(UNBUILT))==' requirements/mlflow.txt)
	@$(VENV)/bin/python -m pip download --quiet --disable-pip-version-check --only-binary :all: \
		--python-version 3.11 --dest docker/wheelhouse --find-links docker/wheelhouse \
		--constraint requirements/mlflow.txt \
		$(foreach v,$(MANYLINUX),--platform manylinux_$(v)_$$(uname -m)) \
		$(foreach name,base ph ml tracking runner,--requirement requirements/$(name).in)
	@$(VENV)/bin/python -m pip download --quiet --disable-pip-version-check --only-binary :all: \
		--python-version 3.11 --dest docker/wheelhouse \
		$(foreach v,$(MANYLINUX),--platform manylinux_$(v)_$$(uname -m)) \
		--requirement requirements/recast.txt
	@$(ENGINE) run --rm --network host --volume "$(CURDIR)/docker/wheelhouse:/wheelhouse" \
		debian:bookworm-slim sh -c 'apt-get update -qq && apt-get install -qq --yes \
		--no-install-recommends --download-only python3 python3-venv >/dev/null && \
		cp /var/cache/apt/archives/*.deb /wheelhouse && chmod a+r /wheelhouse/*.deb' || \
		echo "no Debian packages fetched: the build will need Debian's mirrors"
	@du -sh docker/wheelhouse

# Renews the pins: requirements/NAME.txt from NAME.in, for Linux and macOS and each Python from 3.11 on.
# What is pinned stays, unless LOCK_ARGS says otherwise: '--upgrade', or '--upgrade-package NAME'.
# PyTorch's CUDA packages are left to pip, which needs none for PyTorch's CPU build; Windows is left out.
UV_VERSION = 0.13.9
LOCK_ARGS ?=
LOCK = "$$tools"/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--python "$$tools"/bin/python --no-annotate --custom-compile-command "make lock"
UNLOCKED = -e '/^nvidia-/d' -e '/^cuda-/d' -e '/^triton==/d' -e '/; sys_platform == .win32.$$/d'
lock:
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv "$$tools" && \
	"$$tools"/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) && \
	export UV_PYTHON_DOWNLOADS=never && cd requirements && \
	for name in test run mlflow celery reana recast recast-atlas; do \
		case $$name in test|reana|recast|recast-atlas) options='$(LOCK_ARGS)' ;; *) options='--constraint test.txt' ;; esac; \
		$(LOCK) $$options --output-file $$name.txt $$name.in >/dev/null && \
		sed $(UNLOCKED) $$name.txt >"$$tools"/$$name.txt && cp "$$tools"/$$name.txt $$name.txt || exit 1; \
	done

clean: yadage-clean
	@rm -rf $(VENV) $(VENV_REANA) $(VENV_RECAST) $(VENV_ATLAS)

$(VENV_REANA)/reana.stamp: requirements/reana.txt
	@echo "installing reana-client into $(VENV_REANA) (once; a minute or two)"
	@test -x $(VENV_REANA)/bin/python || $(PYTHON) -m venv $(VENV_REANA)
	@$(VENV_REANA)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV_RECAST)/recast.stamp: requirements/recast.txt
	@echo "installing pyhf into $(VENV_RECAST) (once; half a minute)"
	@test -x $(VENV_RECAST)/bin/python || $(PYTHON) -m venv $(VENV_RECAST)
	@$(VENV_RECAST)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV_ATLAS)/recast-atlas.stamp: requirements/recast-atlas.txt
	@echo "installing recast-atlas into $(VENV_ATLAS) (once; half a minute)"
	@test -x $(VENV_ATLAS)/bin/python || $(PYTHON) -m venv $(VENV_ATLAS)
	@$(VENV_ATLAS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/mlflow.stamp $(VENV)/celery.stamp: $(VENV)/run.stamp
$(VENV)/%.stamp: requirements/%.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; set PYTHON=..."; exit 2; }
	@echo "installing the packages of $< into $(VENV) (once; a minute or two)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
