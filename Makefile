# Everything here sets itself up in .venv; nothing but Python >= 3.11 and make is needed beforehand.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo minis test check fix bench bigfile memory soak escapes peers duplicates exports contamination scores encodings s3 slurm clusters tokenizers quality torch pretrain ablate docs clean

help:  ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

demo: $(VENV)/ready  ## the whole path on real data: raw pages and code to pretraining shards
	@$(BIN)/curate run phi-1-mini

# In the order of their names, since some read the run of one before them.
minis: $(VENV)/ready  ## every -mini recipe with the local model, each with its table; MINIS="phi-1-mini rephrase-web-mini" some
	@for name in $(or $(MINIS),$$(LC_ALL=C ls pipelines | sed -n 's/-mini[.]yaml$$/-mini/p')); do \
		echo "== $$name"; $(BIN)/curate run $$name || exit 1; done

test: $(VENV)/ready-dev  ## all tests
	$(BIN)/python -m tests.kernels
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/ready-dev  ## lint, format, types, layers, generated docs, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(MAKE) --no-print-directory test

fix: $(VENV)/ready-dev  ## what lint and format can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready-dev  ## speed and memory; only=rules runs one of them, BENCH_CORPUS=path another corpus
	$(BIN)/python -m tests.bench $(only)

bigfile: $(VENV)/ready-dev  ## one 4 GiB file in four formats, 1 and 2 workers, killed and resumed; BIGFILE="--mb 256" a smaller one
	$(BIN)/python -m tests.bench.big_file $(BIGFILE)

memory: $(VENV)/ready-dev  ## workers' peaks: a document of 500 MB, a million tiny ones, files of 20 times a worker's memory
	$(BIN)/python -m tests.bench.memory $(MEMORY)

soak: $(VENV)/ready-dev  ## 200 kills and every other fault, each held against an undisturbed run; SOAK="--kills 20" fewer
	$(BIN)/python -m tests.soak $(SOAK)

escapes: $(VENV)/ready-dev  ## every attempt to get out of the sandbox, and what came of it
	$(BIN)/python -m tests.sandbox.escape

peers: $(VENV)/ready-dev  ## decisions of the filters against released datatrove and dolma; PEERS="--corpus FILE" other documents
	$(BIN)/python -m tests.peers.words $(PEERS)
	$(BIN)/python -m tests.peers.lines $(PEERS)
	$(BIN)/python -m tests.peers.personal $(PEERS)

duplicates: $(VENV)/ready-dev  ## near-deduplication against five others, what each finds and how fast; DUPLICATES="--corpus FILE" other documents
	$(BIN)/python -m tests.peers.duplicates $(DUPLICATES)

exports: $(VENV)/ready-dev  ## exports opened by their own readers (megatron-core, datatrove, litdata, mosaicml-streaming; torch among them)
	$(BIN)/python -c 'from tests.peers.environment import environment; environment("exports")'
	$(BIN)/python -m pytest tests/export --durations=5

contamination: $(VENV)/ready-dev  ## decontamination: planted and rephrased items, real documents, baselines, datatrove; CONTAMINATION="FOLDER --parts pairs"
	$(BIN)/python -m tests.peers.contamination $(CONTAMINATION)

scores: $(VENV)/ready-dev  ## folded fastText models against the library on real documents; SCORES="--corpus FILE" others
	$(BIN)/python -m tests.peers.scores $(SCORES)

encodings: $(VENV)/ready-dev  ## ids by our kernels against sentencepiece, tokenizers and tiktoken on every document; ENCODINGS="--corpus FILES"
	$(BIN)/python -m tests.peers.encodings $(ENCODINGS)

s3: $(VENV)/ready-dev  ## a run on a real S3 server, killed at every crash point, throttled, cut off
	CURATE_S3_ALL=1 $(BIN)/python -m pytest tests/run/test_run_on_s3.py tests/run/test_provenance_on_s3.py tests/store --durations=10

slurm: $(VENV)/ready-dev  ## a run on a real Slurm of one node, where its packages are installed and you are root
	@for p in munged slurmctld slurmd; do test -x /usr/sbin/$$p || { echo "make: no $$p; Debian: apt-get install slurm-wlm munge" >&2; exit 1; }; done
	@test "$$(id -u)" = 0 || { echo "make: slurmd and munged of the tests are started as root" >&2; exit 1; }
	CURATE_SLURM=1 $(BIN)/python -m pytest tests/run/test_slurm.py --durations=5

clusters: $(VENV)/ready-dev  ## a shipped recipe over TLS, pods against the schemas of Kubernetes' operator, ranks of a real MPI where there is an mpirun
	@$(INSTALL) --no-build-isolation --editable '.[kubernetes,mpi]' jsonschema
	CURATE_CLUSTERS=1 $(BIN)/python -m pytest tests/run/test_cluster_file.py tests/run/test_mpi.py tests/security/test_cluster_walls.py --durations=5

tokenizers: $(VENV)/ready-dev  ## every document through every kind of tokenizer and back; TOKENIZERS="--corpus FOLDER --kinds gpt2" others
	$(BIN)/python -m tests.bench.tokenizers $(TOKENIZERS)

quality: $(VENV)/ready-dev  ## the shipped classifiers on sources that nothing was trained on; QUALITY_CORPORA=FOLDER more of them
	$(BIN)/python -m tests.quality_report $(only)

torch: $(VENV)/ready-torch  ## torch and trl, for the tests of tensors and of trainers, which are skipped without

pretrain: $(VENV)/ready-torch  ## the trainer's tiny twin on the demo's dataset, on a CPU; PRETRAIN="--steps 500" longer
	@test -d runs/phi-1-mini/dataset || $(MAKE) --no-print-directory demo
	$(BIN)/python examples/pretrain_phi.py runs/phi-1-mini/dataset --out runs/pretrain-tiny --preset tiny --batch 4 --micro 4 \
		--rate 0.004 --steps 100 --warmup 10 --every 50 $(PRETRAIN)

ablate: $(VENV)/ready-torch  ## raw, random and curated data, the same tokens each, three seeds; ABLATE="--synthetic FOLDER" a fourth arm
	$(BIN)/python examples/ablate.py $(ABLATE)

docs: $(VENV)/ready-dev  ## write docs/cli.md and docs/stages.md anew
	$(BIN)/python docs/generate.py

clean:  ## remove results and the environment
	rm -rf runs $(VENV)

# An environment that was not made to its end is removed: the next make would take it for a whole one.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 with venv found; install one (Debian: apt install python3 python3-venv), or name it: make demo PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: $(PYTHON) is no Python >= 3.11 with venv; name another: make demo PYTHON=/path/to/python" >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON) (about a minute the first time)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Wheels only: set-up never compiles anything. --no-binary would need a compiler the user may not have.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary --only-binary :all: --constraint constraints.txt

$(VENV)/ready: $(VENV)/bin/python pyproject.toml constraints.txt
	@$(INSTALL) hatchling editables
	@$(INSTALL) --no-build-isolation --editable '.[heads]'
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	@$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

# PyPI's wheel brings 3 GB of CUDA; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu finds one for CPUs, of 200 MB.
$(VENV)/ready-torch: $(VENV)/ready-dev
	@$(INSTALL) --no-build-isolation --editable '.[torch,trl]' torchdata
	@touch $@
