# Every target does the set-up it needs; see tools/setup.
BIN := .venv/bin
JOBS := $(shell nproc)
# As on a processor without the newer instructions: an output that depends on them is found here, not on the next machine.
PLAIN := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=AVX OPENBLAS_CORETYPE=SANDYBRIDGE TF_ENABLE_ONEDNN_OPTS=0
.PHONY: setup demo test lab build site check audit bench lock

setup:
	@tools/setup

demo: setup  ## build the course, grade a class of twelve, print the table
	@$(BIN)/autograder build
	@$(BIN)/python tests/sample_class.py demo
	@$(BIN)/autograder grade ch01_concepts --submitted demo/submitted --jobs $(JOBS)

test: setup  ## every test, the audit of what has changed and of an eighth of the rest, the notebooks, the site
	@tools/setup --tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal
	$(BIN)/autograder audit --published docs/validity --seeds 1 --sample 10
	$(PLAIN) $(BIN)/python -m pytest --nbval --nbval-current-env --dist loadscope -n $(JOBS) notebooks
	@$(MAKE) --no-print-directory site

lab: setup  ## JupyterLab with copies of the chapters of your own, in work/
	@$(BIN)/autograder study

build: setup  ## release/ and notebooks/ from source/
	$(BIN)/autograder build

site: setup  ## the solved chapters and the guides as static pages, in site/
	@rm -rf site
	$(BIN)/python docs/site/build.py site

check: setup  ## linters, types, imports, and whether what is committed is what source/ says
	$(BIN)/ruff check autograder source tests tools docs
	$(BIN)/ruff format --check autograder tests docs/site --exclude tests/answers
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/autograder build --check

audit: setup  ## every answer and every mutant; docs/validity.md
	$(BIN)/autograder audit --mutants --json docs/validity
	$(BIN)/python -m autograder.audit.page docs/validity > docs/validity.md

bench: setup  ## this grader against stock nbgrader, in one run; large classes; whether marks depend on load
	$(BIN)/python tests/bench/bench.py
	$(BIN)/python tests/bench/scale.py
	$(BIN)/python tests/bench/load.py

lock: setup  ## new versions of everything that pyproject.toml admits
	$(BIN)/pip-compile --quiet --upgrade --extra dev --extra site --extra distributed --extra postgresql --strip-extras --no-header --no-annotate --no-emit-options \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu$$//' requirements.lock  # a CPU build of torch satisfies the plain version
