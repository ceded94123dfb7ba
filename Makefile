# make demo    from nothing to a running image: the tool, an engine if there is none, examples/hello
# make test    all tests, the real-engine ones included
# make test-matrix   the real-engine tests on the newest Docker in Debian
# make fuzz    random inputs for all that reads what others wrote, FUZZ_SECONDS (600) each
# make soak    faults again and again, about half an hour: docs/reliability.md has the table
# make seeds   random changes, SEED_CHANGES (25) for each profile, built with a seed and without: the bytes are the same
# make lint    format, clippy, documentation and its links, scripts
# make bench   the table of docs/performance.md, under half an hour; make bench-quick has the rows that take seconds
# make images  examples/hello for linux/amd64 and linux/arm64, pushed below REGISTRY: make images REGISTRY=ghcr.io/me

SHELL = /bin/bash
.SHELLFLAGS = -o pipefail -c

.PHONY: demo test test-containerd test-classic test-matrix fuzz soak seeds lint shellcheck bench bench-quick images

demo:
	cargo build --release --locked
	scripts/with-engine scripts/demo

# Both image stores are tested on the main path, side by side unless the user's own engine has to do for both.
# One test at a time on an engine: simultaneous builds that share steps can crash engine 26.1 (a nil pointer in
# BuildKit's walkProvenance, solver/jobs.go).
test:
	cargo build --locked --all-targets
	cargo test --locked --lib
	cargo test --locked --doc
	cargo test --locked $(patsubst %,--test %,$(WAITING)) -- --test-threads=8
	$(MAKE) --jobs=$$(docker version >/dev/null 2>&1 && echo 1 || echo 2) test-containerd test-classic

test-containerd:
	scripts/with-engine $(call TEST,$(filter-out $(ON_ANY_STORE),$(ALL))) 2>&1 | sed -u 's/^/containerd | /'

test-classic:
	scripts/with-engine --store classic $(call TEST,$(ON_ANY_STORE) $(ON_BOTH_STORES)) 2>&1 | sed -u 's/^/classic    | /'

TEST = cargo test --locked $(patsubst %,--test %,$(1)) -- --test-threads=1
# Tests that mostly wait, and need no engine.
WAITING = index
ALL = $(filter-out $(WAITING),$(notdir $(basename $(wildcard tests/*.rs))))
# Tests that need no engine, or any: they run with the classic store, as many as make both lists take the same time.
ON_ANY_STORE = ahead bins build_folder cli commands custom docs errors failed_builds faults fetching fuzz hostile interrupt \
	library names openhands openhands_original output podman properties roots signals size slim steps
ON_BOTH_STORES = caches platforms reuse tiers
ON_EVERY_ENGINE = base_image builders errors failed_builds faults fetching interrupt push_faults registry registry_faults $(ON_BOTH_STORES)

test-matrix:
	cargo build --locked --all-targets
	scripts/engine run --name testing --release testing -- $(call TEST,$(ON_EVERY_ENGINE))

# Warnings of random configurations are not shown.
fuzz:
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} cargo test --release --locked --test fuzz -- --nocapture 2>&1 | sed -u '/^warning: /d'

# Tests that are marked as long.
soak:
	scripts/with-engine cargo test --release --locked --no-fail-fast $(patsubst %,--test %,$(SOAK)) -- \
		--ignored --nocapture --test-threads=1

SOAK = size push_faults soak

seeds:
	SEED_CHANGES=$${SEED_CHANGES:-25} scripts/with-engine cargo test --locked --test seed -- \
		random_changes --include-ignored --test-threads=1

lint: shellcheck
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/check-imports
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	scripts/check-links
	shellcheck --external-sources $(SHELL_SCRIPTS)
	shellcheck --shell bash src/templates/completions.bash

SHELL_SCRIPTS = $(shell grep -lE '^#!(/usr/bin/env |/bin/)(ba)?sh$$' .ci/* scripts/*) \
	$(filter-out %.pl,$(wildcard src/templates/steps/*))

# Debian's package, for root where it is missing.
INSTALL_SHELLCHECK = DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends shellcheck

shellcheck:
	@if ! command -v shellcheck >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			$(INSTALL_SHELLCHECK) || { apt-get update --quiet && $(INSTALL_SHELLCHECK); }; \
		else \
			echo '`shellcheck` is missing, which checks the shell scripts: install the package `shellcheck`' >&2; exit 1; \
		fi; \
	fi

bench bench-quick:
	cargo build --release --locked
	scripts/with-engine scripts/bench $(patsubst bench%,%,$(subst -,,$@))

# The builder must have or emulate both platforms. .github/workflows/images.yml does the same with a runner for each.
images:
	@test -n "$(REGISTRY)" || { echo 'say where to: make images REGISTRY=registry.example.com/team' >&2; exit 2; }
	cargo build --release --locked
	cd examples/hello && PATH="$(CURDIR)/target/release:$$PATH" \
		cargo runtime-image --platform linux/amd64,linux/arm64 --push --repository "$(REGISTRY)/hello-runtime"
