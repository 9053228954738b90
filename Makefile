# `make help` lists the targets. Variables on the command line (TASK=..., SEED=...) reach every command's environment.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export RUST_BACKTRACE := 0
export DORA_ZENOH_MULTICAST := off
export DORA_ZENOH_CONFIG_OVERLAY := $(CURDIR)/dataflows/zenoh.json5

PYTHON ?=
PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
STAMP := .venv/.installed

# The stamp holds the folder it was made for: scripts in a moved or copied .venv point to the old place.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: help
help: ## list the targets
	echo "make TARGET [TASK=... POLICY=... VARIANT=... SEED=... LATENCY_MS=... and every other variable of docs/variables.md]"
	echo
	awk -F ': .*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: ready ## one episode on the simulated UR5e, policy asynchronous, chunks joined by reuse-then-refine
	$(call run,dataflows/async_rtr.yml)

.PHONY: sync
sync: ready ## the same, but the robot waits for every chunk
	$(call run,dataflows/sync.yml)

.PHONY: test
test: ready lint ## lint, then the whole test suite
	echo "== tests without a dataflow, on all cores"
	.venv/bin/python -m pytest -q -n auto -m "not graph"
	echo "== tests of running dataflows, one after the other"
	.venv/bin/python -m pytest -q -m graph

.PHONY: lint
lint: setup ## ruff check, ruff format --check, pyright
	echo "== lint"
	ruff check --quiet .
	ruff format --quiet --check . || { echo "Not formatted as above: run .venv/bin/ruff format"; exit 1; }
	pyright --warnings

.PHONY: bench
bench: ready ## timing of the parts on this machine
	rtr bench

.PHONY: fuzz
fuzz: ready ## ten thousand runs of the graphs under faults in simulated time; goes on where it was
	.venv/bin/python -m tests.fuzz

.PHONY: golden
golden: ready ## record recordings/golden anew, after a change that is meant to move it
	topics=$$(.venv/bin/python -c "import yaml; nodes = yaml.safe_load(open('dataflows/async_rtr.yml'))['nodes']; print(','.join(f\"{n['id']}/{o}\" for n in nodes for o in n['outputs'] if o != 'scene' and n['id'] != 'recorder'))")
	POLICY=expert CODEC=dct IMAGE_WIDTH=64 IMAGE_HEIGHT=64 TIME_LIMIT_S=4 SEED=10003 RECORD_FRAMES=zstd dora record dataflows/async_rtr.yml -o out/golden.drec --topics "$$topics"
	rtr recording trim out/golden.drec recordings/golden/golden.drec --to-s 1.5
	.venv/bin/python -m pytest -q tests/test_golden.py --accept-golden

.PHONY: validate
validate: setup ## dora validate on every graph
	for graph in dataflows/*.yml; do
	  case "$$graph" in *.module.yml) continue ;; esac
	  if log=$$(dora validate "$$graph" 2>&1); then echo "ok      $$graph"; else echo "$$log"; echo "broken  $$graph"; exit 1; fi
	done

.PHONY: setup
setup: $(STAMP) ## make .venv and install everything into it, with the pins of constraints.txt

.PHONY: system
system: ## system libraries: EGL and Mesa for MuJoCo, GL and GLib for OpenCV, venv for Python
	$(system)

.PHONY: clean
clean: ## remove outputs and caches; .venv stays (rm -r .venv)
	rm -rf out dataflows/out .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name .venv -prune -o -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# -- how it is done ---------------------------------------------------------------------------------------------------

.PHONY: ready
ready: system setup

$(STAMP): pyproject.toml constraints.txt | system
	if [ -f $(STAMP) ] && [ "$$(cat $(STAMP))" != "$$PWD" ]; then rm -f .venv/bin/python*; fi
	if ! .venv/bin/python -c '$(FITS)' 2>/dev/null; then
	  for python in $(PYTHONS) none; do
	    if "$$python" -c 'import ensurepip, venv; $(FITS)' 2>/dev/null; then break; fi
	  done
	  if [ "$$python" = none ]; then echo "Needs Python 3.11, 3.12 or 3.13 with its venv module" >&2; exit 1; fi
	  echo "Making .venv with $$("$$python" --version)"
	  "$$python" -m venv --clear .venv
	fi
	echo "Installing into .venv; the first time this takes a few minutes (log: .venv/install.log)"
	show() { if [ -t 1 ]; then awk '/^ *(Collecting|Downloading|Installing)/ {printf "\r\033[K  %.100s", $$0; fflush()} END {printf "\r\033[K"}'; else cat >/dev/null; fi; }
	if ! .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -e '.[dev,lasa]' -c constraints.txt 2>&1 | tee .venv/install.log | show; then
	  grep -E '^ *(ERROR|error)' .venv/install.log >&2 || tail -n 20 .venv/install.log >&2
	  echo "The installation failed; the whole log is .venv/install.log" >&2
	  exit 1
	fi
	echo "$$PWD" > $(STAMP)
	echo "Installed."

# Shown are the evaluator's lines and every node's errors. All of it: make demo DORA_LOG_LEVEL=stdout
define run
echo "$(1): TASK=$${TASK:-write_board}; Ctrl-C stops it"
rtr check $(1)
export DORA_LOG_LEVEL=$${DORA_LOG_LEVEL:-error} DORA_LOG_FILTER=$${DORA_LOG_FILTER:-evaluator=stdout}
exec dora run $(1)
endef

# Sets `missing` to the Debian packages that are not there. Anything but Linux is left to its own ways.
define system
[ "$$(uname -s)" = Linux ] && [ -z "$${SKIP_SYSTEM:-}" ] || exit 0
libraries=$$(PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p || true)
has() { grep -q "$$1" <<<"$$libraries"; }
missing=
has 'libEGL\.so\.1 ' || missing+=" libegl1"
has 'libEGL_mesa\.so\|libEGL_nvidia\.so' || missing+=" libegl-mesa0"
has 'libgallium-\|libEGL_nvidia\.so' || compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null || compgen -G '/usr/lib*/dri/swrast_dri.so' >/dev/null || missing+=" libgl1-mesa-dri"
has 'libGL\.so\.1 ' || missing+=" libgl1"
has 'libglib-2\.0\.so\.0 ' || missing+=" libglib2.0-0"
if ! .venv/bin/python -c '$(FITS)' 2>/dev/null; then
  found=
  for python in $(PYTHONS); do
    "$$python" -c '$(FITS)' 2>/dev/null || continue
    found="$$python"
    if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found=complete; break; fi
  done
  if [ -z "$$found" ]; then
    echo "Needs Python 3.11, 3.12 or 3.13 as python3, python3.11, ... on PATH, or make PYTHON=/path/to/python" >&2
    exit 1
  fi
  [ "$$found" = complete ] || missing+=" $$("$$found" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
[ -n "$$missing" ] || exit 0
as_root=
[ "$$(id -u)" = 0 ] || as_root="sudo "
commands="$${as_root}apt-get update && $${as_root}apt-get install -y --no-install-recommends$$missing"
if command -v apt-get >/dev/null && { [ -z "$$as_root" ] || sudo -n true 2>/dev/null; }; then
  echo "Installing system packages:$$missing"
  log=$$(mktemp)
  if ! DEBIAN_FRONTEND=noninteractive bash -c "$$commands" >"$$log" 2>&1 </dev/null; then
    tail -n 20 "$$log" >&2
    echo "That failed. Try yourself: $$commands" >&2
    exit 1
  fi
  rm -f "$$log"
else
  echo "System packages are missing. Run this, then make again (the names are Debian's):" >&2
  echo "  $$commands" >&2
  echo "If they are there under other names: make SKIP_SYSTEM=1 ..." >&2
  exit 1
fi
endef
