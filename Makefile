# SPDX-License-Identifier: Apache-2.0
# Everything runs in a virtual environment, .venv, which is made when it is first needed.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(shell find hw sim -name cocotb -prune -o -type f -name '*.[ch]pp' -print -o -type f -name '*.py' -print)

.PHONY: help install demo test test-oldest wheel sim formal campaign fuzz soak exports bench scaling \
	report report-kernels report-boards bitstream program vocabulary lint clean

help:            ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST)

install: .venv/.installed  ## Set up .venv and compile the simulated card

demo: .venv/.installed     ## One photo through the simulated card
	$(BIN)/headrace demo examples/teddies.jpg -o build/demo

test: .venv/.installed     ## All tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-oldest:               ## All tests with the oldest versions that pyproject.toml allows, half an hour
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet uv
	build/oldest/bin/uv pip compile --quiet --resolution lowest-direct --extra hw --extra test \
		--extra text --python build/oldest/bin/python pyproject.toml -o build/oldest/constraints.txt
	PIP_CONSTRAINT=$(CURDIR)/build/oldest/constraints.txt build/oldest/bin/python -m pip install \
		--quiet --config-settings=build-dir=build/oldest/cards '.[hw,test,text]'
	build/oldest/bin/python -m pytest -n 2 --dist worksteal

wheel: .venv/.build        ## sdist and wheel in build/dist; the wheel alone, tried in an empty environment
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/python tests/alone.py build/dist

sim: .venv/.installed      ## The kernels' tests alone
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/hw

formal: .venv/.formal      ## Proofs of stream components and of the card's bookkeeping
	$(BIN)/python -m pytest tests/formal

campaign: .venv/.installed ## Clients of the simulated network card with many real files, minutes
	PYTHONPATH=tests $(BIN)/python -W error -m campaign

fuzz: .venv/.installed     ## COUNT=2000 SEED=1: damaged files, whose pixels must be Pillow's if the card says OK; goes on where it ended
	PYTHONPATH=tests $(BIN)/python -W error -m fuzz --count $(or $(COUNT),2000) --seed $(or $(SEED),1)

soak: .venv/.installed     ## COUNT=100000: so many requests to a server, without and with hostile peers
	PYTHONPATH=tests $(BIN)/python -W error -m soak $(if $(COUNT),--count $(COUNT))

exports: .venv/.reports   ## Tests of the boards with their whole cards instead of small ones, minutes
	HEADRACE_WHOLE_CARDS=1 $(BIN)/python -m pytest tests/hw/board

bench: .venv/.installed    ## Cycles of the decoder and of the whole lane
	$(BIN)/headrace bench jpeg examples/teddies.jpg

scaling: .venv/.scaling    ## Images a cycle against the number of image lanes (compiles three more cards)
	$(BIN)/headrace bench card examples/teddies.jpg

report: .venv/.boards      ## Area of kernels and boards' cards, clocks on an ECP5, two hours on two cores
	$(MAKE) --jobs=2 --keep-going --output-sync=target report-kernels report-boards

report-kernels: .venv/.boards
	$(BIN)/python -m headrace.hw.report

report-boards: .venv/.boards
	$(BIN)/headrace bench boards examples/teddies.jpg -o build/report --seeds 1 2 3

bitstream: .venv/.installed $(if $(filter ecpix5,$(BOARD)),.venv/.reports)  ## BOARD=u55c: its files and, where its tools are, its bitstream; alone: list boards
	@$(BIN)/python -m headrace.hw.board $(BOARD) $(if $(BOARD),-o build/$(BOARD)) $(if $(KEY),--key $(KEY))

program: .venv/.installed  ## BOARD=ecpix5: load its bitstream
	@$(BIN)/python -m headrace.hw.board $(BOARD) --program -o build/$(BOARD)

vocabulary: .venv/.vocabulary  ## Fetch BERT's vocabulary (70 MB), which some tests use if it is there
	$(BIN)/python tests/fetch_vocabulary.py

lint: .venv/.lint          ## Style
	$(BIN)/ruff check .

clean:                     ## Remove what was built
	rm -rf build .venv

# Install what an extra needs: pip would compile the cards again.
define extra
$(BIN)/python -c 'from importlib.metadata import requires; print(*(need.split(";")[0] for need \
	in requires("headrace") if need.endswith("extra == \"$(1)\"")), sep="\n")' > .venv/$(1).txt
$(BIN)/python -m pip install --quiet --requirement .venv/$(1).txt
endef

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml CMakeLists.txt $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

.venv/.scaling: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]' \
		--config-settings='cmake.define.CARDS=sim;nic;sim2;sim4;wide'
	@touch $@

.venv/.reports: .venv/.installed
	$(call extra,hw)
	@touch $@

.venv/.boards: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test,hw]' \
		--config-settings='cmake.define.CARDS=sim;nic;kv260;ecpix5'
	@touch $@

.venv/.formal: .venv/.installed
	$(call extra,formal)
	@touch $@

.venv/.vocabulary: .venv/.installed
	$(BIN)/python -m pip install --quiet 'gguf>=0.10'
	@touch $@

.venv/.build: .venv/bin/python
	$(BIN)/python -m pip install --quiet 'build>=1.2'
	@touch $@

.venv/.lint: .venv/bin/python
	$(BIN)/python -m pip install --quiet 'ruff>=0.9'
	@touch $@
