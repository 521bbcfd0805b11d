# The front doors; meson and ninja do the work.  `make help` lists them.
#
#   make boot BOOTARGS="-smp 2"     more options for the machine
#   make check NO_DEPS=1            do not look at installed packages
#
# SPDX-License-Identifier: GPL-2.0-or-later

SRC ?= .
BUILD ?= build
BOOTARGS ?=
DESTDIR ?=
deps = $(SRC)/scripts/install-deps

.PHONY: all boot check check-slow bench install clean distclean help
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) rhea rhea-img

# Debian's gcc, pkg-config, … must be there before meson looks for them.
$(BUILD)/build.ninja:
	@$(deps) build
	@$(SRC)/configure --build-dir=$(BUILD)

boot:
	@$(deps) build boot
	@$(MAKE) --no-print-directory all
	@$(SRC)/scripts/boot $(BUILD)/rhea $(BOOTARGS)

check:
	@$(deps) build boot check
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(SRC)/scripts/check $(BUILD) --no-suite slow

check-slow:
	@$(deps) build boot check
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@$(SRC)/scripts/check $(BUILD) --suite slow

bench: all
	@meson test -C $(BUILD) --benchmark --verbose

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

clean:
	@test ! -e $(BUILD)/build.ninja || ninja -C $(BUILD) -t clean

# The build folder and what was downloaded.
distclean:
	rm -rf $(BUILD) $(SRC)/.cache

help:
	@echo 'make             configure and build $(BUILD)/rhea'
	@echo 'make boot        boot a Debian kernel to a shell on this terminal'
	@echo 'make check       run the tests; the last line has the totals'
	@echo 'make check-slow  run the long ones'
	@echo 'make bench       run the benchmarks'
	@echo 'make install     install (DESTDIR=, ./configure --prefix=)'
	@echo 'make clean       remove what was built; distclean: all of it'
	@echo './configure --help lists the build options.'
