# `make verify` checks without writing, `make fix` mends what a tool can mend. CI runs the README's test command, which is `make verify`'s twin.
.PHONY: verify fix test build bench docs

VENV ?= .venv
PY = $(VENV)/bin/python

verify: ; ./tests/run
docs: ; ./docs/build
fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
