# Every target does the set-up it needs; see tools/setup.
BIN := .venv/bin
JOBS := $(shell nproc)
.PHONY: setup demo test lab build check audit bench lock

setup:
	@tools/setup

demo: setup  ## build the course, grade a class of twelve, print the table
	@$(BIN)/autograder build
	@$(BIN)/python tests/sample_class.py demo
	@$(BIN)/autograder grade ch01_concepts --submitted demo/submitted --jobs $(JOBS)

test: setup  ## every test, the audit of what has changed and of an eighth of the rest, the notebooks
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal
	$(BIN)/autograder audit --published docs/validity --seeds 1 --sample 10
	$(BIN)/python -m pytest --nbval --nbval-current-env --dist loadscope -n $(JOBS) notebooks

lab: setup  ## JupyterLab with copies of the chapters of your own, in work/
	@$(BIN)/python -m autograder.course.work
	$(BIN)/jupyter lab --notebook-dir work

build: setup  ## release/ and notebooks/ from source/
	$(BIN)/autograder build

check: setup  ## linters, types, imports, and whether what is committed is what source/ says
	$(BIN)/ruff check autograder source tests tools
	$(BIN)/ruff format --check autograder tests --exclude tests/answers
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/autograder build --check

audit: setup  ## every answer and every mutant; docs/validity.md
	$(BIN)/autograder audit --mutants --json docs/validity
	$(BIN)/python -m autograder.audit.page docs/validity > docs/validity.md

bench: setup  ## this grader against stock nbgrader, in one run
	$(BIN)/python tests/bench/bench.py

lock: setup  ## new versions of everything that pyproject.toml admits
	$(BIN)/pip-compile --quiet --upgrade --extra dev --strip-extras --no-header --no-annotate --no-emit-options \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu$$//' requirements.lock  # a CPU build of torch satisfies the plain version
