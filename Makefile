# make demo    from nothing to a running image: the tool, an engine if there is none, examples/hello
# make test    all tests, the real-engine ones included
# make test-matrix   the real-engine tests on the newest Docker in Debian
# make lint    format, clippy, documentation, scripts
# make bench   the figures of the README
# make images  examples/hello for linux/amd64 and linux/arm64, pushed below REGISTRY: make images REGISTRY=ghcr.io/me

.PHONY: demo test test-matrix lint bench images

demo:
	cargo build --release --locked
	scripts/with-engine scripts/demo

# Both image stores are tested on the main path. A user's own engine has the one that it has.
# One test at a time: builds that share steps and run at once can crash engine 26.1 (a nil pointer in BuildKit's
# walkProvenance, solver/jobs.go).
test:
	cargo build --locked --all-targets
	scripts/with-engine cargo test --locked -- --test-threads=1
	scripts/with-engine --store classic cargo test --locked $(patsubst %,--test %,$(ON_BOTH_STORES)) -- --test-threads=1

ON_BOTH_STORES = caches platforms reuse tiers
ON_EVERY_ENGINE = base_image builders errors fetching interrupt registry registry_faults $(ON_BOTH_STORES)

test-matrix:
	cargo build --locked --all-targets
	scripts/engine run --name testing --release testing -- \
		cargo test --locked $(patsubst %,--test %,$(ON_EVERY_ENGINE)) -- --test-threads=1

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	sh -n scripts/with-engine scripts/demo scripts/bench
	bash -n scripts/engine

bench:
	cargo build --release --locked
	scripts/with-engine scripts/bench

# The builder must have or emulate both platforms. .github/workflows/images.yml does the same with a runner for each.
images:
	@test -n "$(REGISTRY)" || { echo 'say where to: make images REGISTRY=registry.example.com/team' >&2; exit 2; }
	cargo build --release --locked
	cd examples/hello && PATH="$(CURDIR)/target/release:$$PATH" \
		cargo runtime-image --platform linux/amd64,linux/arm64 --push --repository "$(REGISTRY)/hello-runtime"
