# Each target does the set-up it needs; a second run finds it done.
.PHONY: demo test test-full check setup clean

demo: setup
	.venv/bin/python -m edgekit demo

test:
	tools/test

test-full:
	tools/test --full

check: setup
	tools/check

setup:
	tools/setup

# What was fetched stays: nothing is downloaded twice.
clean:
	find build -mindepth 1 -maxdepth 1 ! -name third_party -exec rm -rf {} + 2>/dev/null || true
	rm -rf dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find edgekit tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
