# Sonde: `make run` to see it work, `make test` to see that it does.
SHELL := /bin/bash
CARGO ?= cargo
SECONDS ?= 60

.PHONY: help deps build run test unit bench fuzz matrix lint clean

help: ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## Install what is missing (Debian packages, with sudo when not root; as root the user sonde)
	@scripts/deps.sh build

build: deps ## Leave target/release/{sonde,sonde-dataplane,sonde-controlplane}
	$(CARGO) build --release --workspace --bins

run: build ## Start the probe on real input and show flows (IFACE=eth0: that interface; RUN_SECONDS=20: stop by itself)
	@scripts/run.sh

test: ## Everything: format, lints, unit, integration, layers, limits of style, fuzz inputs, end to end
	@scripts/deps.sh test
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	SONDE_PYTHON="$$(scripts/python.sh)" $(CARGO) test --workspace --no-fail-fast

unit: deps ## The tests that start no process
	$(CARGO) test --workspace --lib

bench: deps ## The benchmarks, and the speed table (SECONDS=60 for each figure)
	$(CARGO) bench --workspace
	@scripts/bench.sh $(SECONDS)

fuzz: deps ## Fuzz every parser of foreign bytes (SECONDS=60 in all)
	@scripts/fuzz.sh $(SECONDS)

matrix: ## Build and test on Debian 12 and 13, build on sid, each in a root of its own (as root; needs debootstrap)
	@scripts/matrix.sh

lint: deps ## Format check and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf tests/fuzz/target
