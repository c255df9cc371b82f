# `make` shows what there is. Everything runs in .venv, which is made when it is first needed.
.DEFAULT_GOAL := help
.PHONY: help lab grade report export kit sandbox-check test build matrix new-mistake attacks bench screenshots lint clean

PYTHON ?= python3
BIN := .venv/bin
COURSE := $(BIN)/python -m course.instructor

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

.venv/ready: requirements.lock sandbox.lock pyproject.toml bootstrap.py
	@$(PYTHON) bootstrap.py

lab: .venv/ready ## open JupyterLab on the student notebooks (your copies, in work/)
	@$(COURSE) lab

grade: .venv/ready ## grade submitted/ (a demo class if it is empty): feedback/, grades.csv, class_report.html
	@$(COURSE) grade $(if $(AGAIN),--again) $(if $(TRUST_SUBMISSIONS),--trust-submissions) \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

export: .venv/ready ## write the grades for Canvas and Moodle: grades-canvas.csv, grades-moodle.csv
	@$(COURSE) export

report: .venv/ready ## write class_report.html anew: scores, known mistakes, who is stuck where
	@$(COURSE) report

kit: .venv/ready ## write the student kit: one zip to hand out, in dist/
	@$(COURSE) kit

sandbox-check: .venv/ready ## show in a table what the sandbox for student code keeps on this machine
	@$(COURSE) sandbox-check

test: .venv/ready lint ## run the whole suite
	@$(BIN)/python -m pytest -n auto --dist loadgroup --ignore tests/attacks tests
	@# Attacks mostly wait for a limit to be reached.
	@$(BIN)/python -m pytest -n 4 tests/attacks
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --nbval --nbval-current-env source
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --nbval-lax --nbval-current-env release

lint: .venv/ready
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

build: .venv/ready ## rebuild source/, release/, the solutions and the answer keys from course/notebooks/
	@$(COURSE) build

matrix: .venv/ready ## try every known mistake and right solution on 21 keys (ONLY=ex05: of exercise 5)
	@$(COURSE) matrix $(ONLY)

new-mistake: .venv/ready ## begin a known mistake from a submission (TASK=ex01_layer_norm FROM=student-03)
	@$(COURSE) new-mistake '$(TASK)' '$(FROM)'

attacks: .venv/ready ## try hostile submissions on stock nbgrader and on this course (ONLY=name: that begin so)
	@$(BIN)/python -m tests.attacks $(if $(ONLY),--only $(ONLY))

bench: .venv/ready ## time what students and instructors wait for (half an hour), and show where thresholds come from
	@$(BIN)/pip install -q --disable-pip-version-check -c requirements.lock -e '.[benchmarks]'
	@for table in benchmarks/*.py; do $(BIN)/python $$table || exit 1; done

screenshots: .venv/ready ## take the README's pictures anew
	@$(BIN)/python docs/take_screenshots.py

clean: ## remove the virtual environment
	@rm -rf .venv
