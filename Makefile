# The verbs of this repository. Each is a line or two; tools/ does the work.

BUILD ?= build
PREFIX ?= /usr/local

# `make build CC=clang BUILD=build-clang` chooses; make's own `cc` does not.
ifneq ($(origin CC),default)
export CC
endif
export BUILD PREFIX DESTDIR HTTP HTTPS ECHO ADMIN
export FUZZ_SECONDS SOAK_MINUTES CONFORMANCE_DIR H2SPEC

.PHONY: help build run test test-long soak bench conformance fuzz format lint install clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## Build the program: build/tollgate (CC=clang BUILD=build-clang)
	@tools/setup.sh build
	@tools/build.sh $(BUILD)

run: ## Serve examples/bookshop.yaml before a sample backend (HTTP= ADMIN= …)
	@tools/setup.sh run
	@tools/build.sh $(BUILD) tollgate
	@tools/run.sh

test: ## Unit tests, also sanitized; fuzzers for 5 s each; end-to-end tests
	@tools/setup.sh test
	@tools/test.sh

test-long: ## All suites under ASan+UBSan and TSan, fuzzers (FUZZ_SECONDS=120)
	@tools/setup.sh test fuzz
	@tools/test-long.sh

soak: ## Run tests/soak for a long time (SOAK_MINUTES=30)
	@tools/setup.sh test
	@tools/soak.sh

bench: ## Compare with nginx and HAProxy; writes bench/RESULTS.md
	@tools/setup.sh bench
	@tools/build.sh $(BUILD) tollgate
	@bench/run.sh

conformance: ## Run h2spec (H2SPEC=PROGRAM); writes docs/conformance.md
	@tools/setup.sh build
	@tools/build.sh $(BUILD) tollgate
	@tools/conformance.sh

fuzz: ## Run every fuzzer (FUZZ_SECONDS=60 each)
	@tools/setup.sh fuzz
	@tools/fuzz.sh

format: ## Format all C sources in place
	@tools/setup.sh format
	@tools/format.sh

lint: ## clang-tidy, formatting, layers, shell scripts
	@tools/setup.sh lint
	@tools/lint.sh

install: build ## Install to PREFIX (/usr/local), under DESTDIR
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## Remove what the verbs above built
	@rm -rf build build-* $(BUILD)
