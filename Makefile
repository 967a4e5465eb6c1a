# make run and make test do all set-up; see README.md.

PYTHON ?= python3
VENV ?= .venv

PROFILE ?= default
RUNTIME ?= native
WORKDIR ?=
INPUT_FILE_PH ?=
INPUT_FILE_ML ?=
DATA_FILE ?=
CORES ?=
# Further options of 'python -m scripts.run', for instance ARGS='-p num_events=20000 -p seed=2'.
ARGS ?=

RUN = $(VENV)/bin/python -m scripts.run
OPTIONS = --profile "$(PROFILE)" --runtime "$(RUNTIME)" --workdir "$(WORKDIR)" \
	$(if $(CORES),--cores "$(CORES)") $(ARGS)
PH = --input-file-ph "$(INPUT_FILE_PH)"
ML = --input-file-ml "$(INPUT_FILE_ML)"

.PHONY: help run run-ph run-ml yadage-run yadage-clean test check bench clean

help:
	@echo "make run                                the whole analysis, from theory to limits"
	@echo "make run-ph [INPUT_FILE_PH=...]         physics alone"
	@echo "make run-ml DATA_FILE=... [INPUT_FILE_ML=...]  machine learning alone"
	@echo "make test                               all tests"
	@echo "make check                              code style"
	@echo "Variables: PROFILE=test|default|full|FILE WORKDIR=... CORES=... RUNTIME=native|docker ARGS=..."

run: $(VENV)/run.stamp
	@$(RUN) all $(OPTIONS) $(PH) $(ML)

run-ph: $(VENV)/run.stamp
	@$(RUN) ph $(OPTIONS) $(PH)

run-ml: $(VENV)/run.stamp
	@$(RUN) ml $(OPTIONS) $(ML) --data-file "$(DATA_FILE)"

yadage-run: run

yadage-clean:
	@rm -rf .yadage .yadage-ph .yadage-ml .yadage.failed .yadage-ph.failed .yadage-ml.failed

test: $(VENV)/test.stamp
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(VENV)/test.stamp
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

bench: $(VENV)/run.stamp
	@$(VENV)/bin/python -m scripts.bench

clean: yadage-clean
	@rm -rf $(VENV)

$(VENV)/%.stamp: requirements/%.txt requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; set PYTHON=..."; exit 2; }
	@echo "installing the packages of $< into $(VENV) (once; a minute or two)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
