# Shortcuts. Everything real is in CMakeLists.txt and scripts/; `make help` lists the targets.
BUILD ?= build
CMAKE_FLAGS ?=
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60

all: configure  ## build the library, the program and the tests
	cmake --build "$(BUILD)"

deps:  ## install the Debian packages that are missing (DEPS=no skips this step everywhere)
	@if [ "$(DEPS)" != no ]; then scripts/install-deps build test; fi

configure: deps
	@cmake -S . -B "$(BUILD)" -G Ninja --log-level=WARNING -DCMAKE_INSTALL_PREFIX="$(PREFIX)" $(CMAKE_FLAGS)

test: all  ## build and run all tests; the last line counts them
	@scripts/run-tests "$(BUILD)"

demo: all  ## trace the shipped demo model and write out/demo/
	@scripts/demo "$(BUILD)"

install: all  ## install below PREFIX (default /usr/local)
	cmake --install "$(BUILD)" --prefix "$(PREFIX)"

sanitize: deps  ## run all tests under the address and undefined-behaviour sanitizers
	@scripts/run-sanitized build-sanitize $(CMAKE_FLAGS)

races:  ## look for data races with the thread sanitizer
	@if [ "$(DEPS)" != no ]; then scripts/install-deps build test clang; fi
	@scripts/run-races

fuzz:  ## fuzz every target with libFuzzer for FUZZ_SECONDS (default 60) each
	@if [ "$(DEPS)" != no ]; then scripts/install-deps build test clang; fi
	@scripts/run-fuzzers build-fuzz $(FUZZ_SECONDS)

bench: all  ## run the benchmark programs
	@scripts/run-bench "$(BUILD)"

SOURCES = find src cli include tests fuzz examples bench -name '*.[ch]' 2>/dev/null

format:  ## lay out every C file with clang-format
	@$(SOURCES) | xargs clang-format -i

check-format:  ## fail when a C file is not laid out by clang-format (version 14; others differ in details)
	@$(SOURCES) | xargs clang-format --dry-run -Werror

check-rooms:  ## fail when an include, a file name or a file size breaks the architecture
	@scripts/check-rooms

clean:  ## delete everything that was built
	rm -rf "$(BUILD)" build-sanitize build-races build-fuzz build-release out

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: all deps configure test demo install sanitize races fuzz bench format check-format check-rooms clean help
