# make demo    from nothing to a running image: the tool, an engine if there is none, examples/hello
# make test    all tests, the real-engine ones included
# make lint    format, clippy, documentation, scripts
# make bench   the figures of the README

.PHONY: demo test lint bench

demo:
	cargo build --release --locked
	scripts/with-engine scripts/demo

# Both image stores are tested on the main path. A user's own engine has the one that it has.
# One test at a time: builds that share steps and run at once can crash engine 26.1 (a nil pointer in BuildKit's
# walkProvenance, solver/jobs.go).
test:
	cargo build --locked --all-targets
	scripts/with-engine cargo test --locked -- --test-threads=1
	scripts/with-engine --store classic cargo test --locked --test tiers --test reuse -- --test-threads=1

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	sh -n scripts/with-engine scripts/demo scripts/bench
	bash -n scripts/engine

bench:
	cargo build --release --locked
	scripts/with-engine scripts/bench
