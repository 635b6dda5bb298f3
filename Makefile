# SPDX-License-Identifier: Apache-2.0
# A thin front for Meson and Ninja. `make help` lists the targets.

BUILD ?= build
PREFIX ?= /usr/local
BUILDTYPE ?= debugoptimized
# Arguments for the program, as in: make run ARGS='-m 1024 -- uname -a'
ARGS ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS) --quiet

$(BUILD)/build.ninja:
	@tools/deps build
	@echo 'building KUSE into $(BUILD)/' >&2
	@meson setup $(BUILD) --prefix $(PREFIX) --buildtype $(BUILDTYPE) >$(BUILD).setup.log 2>&1 \
		|| { cat $(BUILD).setup.log >&2; rm -f $(BUILD).setup.log; exit 1; }
	@rm -f $(BUILD).setup.log

RUN_ARM64 = $(findstring arm64,$(ARGS))$(findstring aarch64,$(ARGS))
run: $(BUILD)/build.ninja
	@tools/deps run
	@ninja -C $(BUILD) -j $(JOBS) --quiet kuse $(if $(RUN_ARM64),kuse-arm64)
	@tools/fetch-kernel $(if $(RUN_ARM64),--arch arm64)
	@$(BUILD)/kuse run $(ARGS)

test: all
	@tools/deps run test selftests
	@tools/test --build $(BUILD)

# The kernel's own KVM selftests, unmodified, under `kuse exec`.
selftests: all
	@tools/deps run test selftests
	@tools/selftests --kuse $(BUILD)/kuse $(ARGS)

# Debian's QEMU and other clients, unmodified, under `kuse exec`: docs/clients.md.
clients: all
	@tools/deps run clients
	@tools/clients --build $(BUILD) $(ARGS)

check:
	@tools/deps build check
	@tools/check

# Full: every group, 5 rounds, some 30 minutes, then arm64's. bench-quick: 3 rounds, a quarter of the work, some 5 minutes.
bench: bench-x86
	@$(MAKE) --no-print-directory bench-arm64

bench-x86 bench-quick: $(BUILD)/build.ninja
	@tools/deps run bench
	@ninja -C $(BUILD) -j $(JOBS) --quiet kuse libkuse-preload.so bench_exit bench_micro bench_unit
	@bench/bench --build $(BUILD) $(if $(filter bench-quick,$@),--quick) $(ARGS)

bench-arm64: $(BUILD)/build.ninja
	@tools/deps run bench
	@ninja -C $(BUILD) -j $(JOBS) --quiet kuse kuse-arm64
	@bench/bench --arch arm64 --build $(BUILD) $(ARGS)

# Longer than a test run has time for: random instruction sequences, until FUZZ_SECONDS are over.
FUZZ_SECONDS ?= 600
fuzz: all
	@tools/deps test
	@tools/fuzz --build $(BUILD) --seconds $(FUZZ_SECONDS)

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD) build-*

help:
	@echo 'make            build into $(BUILD)/ (the program is $(BUILD)/kuse)'
	@echo 'make run        boot a stock Debian kernel to a shell; ARGS= goes to `kuse run`'
	@echo 'make test       every test; the last line is "N passed, N failed"'
	@echo 'make selftests  the KVM selftests of linux-source-6.12, as a table; ARGS= goes to tools/selftests'
	@echo 'make clients    Debian'\''s QEMU and other clients under kuse exec, as a table; ARGS= goes to tools/clients'
	@echo 'make check      formatting, static analysis, layering, size figures'
	@echo 'make bench      native, QEMU TCG and KUSE side by side, x86 then arm64: tables, $(BUILD)/bench*.json, *.svg'
	@echo 'make bench-quick  the same in some 5 minutes; ARGS= goes to bench/bench (--help)'
	@echo 'make bench-arm64  the same for arm64 guests, against qemu-system-aarch64'
	@echo 'make fuzz       differential instruction tests for FUZZ_SECONDS (600)'
	@echo 'make install    into PREFIX (/usr/local); DESTDIR is honoured'
	@echo 'make clean      remove the build directories'

.PHONY: all run test selftests clients check bench bench-x86 bench-quick bench-arm64 fuzz install clean help
