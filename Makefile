# The two commands: `make demo` runs everything on drawn pictures, `make test` runs the tests.
# Both make the environment in .venv first. Plain pip and python work as well: see README.md.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# A file's tests stay in one process, which keeps what its fixtures made; each process takes some 2 GB of memory.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo shortcut notebooks test test-quick test-slow test-parity test-faults lint install clean

install: $(READY)

$(READY): requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed; say which with make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $(READY)

demo: $(READY)
	@if [ -f data/split.json ] && ! { grep -q '"source": "shapes"' data/split.json && grep -q '"masks": true' data/split.json; }; then \
		echo "error: data/ holds a split of your own pictures, which the demo would replace; move it away first" >&2; exit 2; fi
	@for model in baseline transfer; do if [ -f models/$$model/bundle.json ] && ! grep -q '"wheel"' models/$$model/bundle.json; then \
		echo "error: models/$$model is of your own pictures, and the demo would replace it; move it away first" >&2; exit 2; fi; done
	$(RUN) split_dataset.py --source shapes --force
	$(RUN) -m src.audit
	$(RUN) -m src.data_loader
	$(RUN) -m src.baseline_cnn --image-size 64 --epochs 8
	$(RUN) -m src.transfer_model --backbone efficientnet_lite0
	$(RUN) -m src.evaluate
	$(RUN) -m src.gradcam --model baseline transfer
	$(RUN) -m src.predict "$$(ls data/test/*/*.png | head -n 1)"
	$(RUN) -m src.datasets.samples | tr '\n' '\0' | xargs -0 $(RUN) -m src.gradcam --model imagenet --image
	$(RUN) -m src.report
	@echo
	@echo "Done. Real photographs, 1,000 classes: gradcam/imagenet/pictures.png. The networks: models/."
	@echo "All else on one page, to be opened in a browser: gradcam/report.html"

# Right for the wrong reason: a mark planted in the drawn pictures. All of it lies in shortcut/; data/ and models/ stay.
SHORTCUT := --models-dir shortcut/models
shortcut: $(READY)
	$(RUN) split_dataset.py --source shapes --output shortcut/plain --force
	$(RUN) split_dataset.py --source shapes --shortcut --output shortcut/planted --force
	$(RUN) split_dataset.py --source shapes --shortcut everywhere --output shortcut/everywhere --force
	$(RUN) -m src.transfer_model --backbone efficientnet_lite0 --data shortcut/planted $(SHORTCUT)
	$(RUN) -m src.evaluate --data shortcut/planted $(SHORTCUT) --output shortcut/gradcam
	$(RUN) -m src.evaluate --data shortcut/plain $(SHORTCUT) --output shortcut/gradcam/plain
	$(RUN) -m src.gradcam --data shortcut/planted $(SHORTCUT) --output shortcut/gradcam
	$(RUN) -m src.shortcut --data shortcut/everywhere --output shortcut/gradcam/everywhere
	$(RUN) -m src.shortcut
	@echo
	@echo "Done. Look at: shortcut/gradcam/transfer/shortcut.png (the same pictures with the mark and without)."

test: $(READY)
	$(RUN) -m pytest -q -m "not slow and not parity and not faults" $(PARALLEL)

test-quick: $(READY)
	$(RUN) -m pytest -q -m "not slow and not parity and not faults and not commands and not large and not browser" $(PARALLEL)

notebooks: $(VENV)/.notebooks
	$(RUN) notebooks/execute.py
	@echo "Done. Look at: notebooks/*.ipynb"

$(VENV)/.notebooks: $(READY) requirements-notebooks.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-notebooks.txt
	touch $@

test-slow: $(VENV)/.notebooks
	$(RUN) -m pytest -q -m slow $(PARALLEL)

# Commands killed and disks filled in every stage: some 20 minutes. Beside it: python -m tests.faults.kills, tests.faults.fuzz.
test-faults: $(READY)
	$(RUN) -m pytest -q -m faults

# Other public implementations, in an environment of their own: 1.7 GB more, most of it PyTorch (its build for GPUs: 5.6 GB).
test-parity: .venv-parity/.ready
	.venv-parity/bin/python -m pytest -q -s -m parity

.venv-parity/.ready: requirements.txt requirements-dev.txt requirements-parity.txt
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-parity.txt
	touch $@

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:
	rm -rf $(VENV) .venv-parity .pytest_cache .ruff_cache
