# clerk-auth. `make demo` shows it, `make test` tests everything, `make install` installs it. No other target is needed to
# use it; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR ?= $(if $(filter /,$(PREFIX)),,$(PREFIX))/lib
# The names that GNU's conventions use.
ifdef prefix
override PREFIX := $(prefix)
endif
ifdef libdir
override LIBDIR := $(libdir)
endif
JOBS ?= 2
# The shared library uses the SQLite library of the system, so that a process has one copy of it; `bundled` compiles a copy.
SQLITE ?= system

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SONAME := libclerk_auth.so.0
# What a Rust archive needs on Linux; tests/install.sh compares it with what rustc says. Not the unwinder: compilers add
# libgcc_s, or libgcc_eh to fully static programs, where there is no libgcc_s.
STATIC_LIBS := -lutil -lrt -lpthread -lm -ldl -lc

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
TARGET := $(TARGET_DIR)/release
OUT := build
STAGE := $(abspath $(OUT)/stage)
SIM := $(TARGET)/clerk-sim
# Build scripts look at these variables: without them, cargo called by hand and by make share what they have built.
CARGO := env -u PKG_CONFIG_PATH -u CMAKE_PREFIX_PATH -u LD_LIBRARY_PATH cargo
# No file that is installed contains a path of the machine that built it. C parts (TLS, SQLite) get what Debian gives its own.
REMAP := $(CURDIR)=/clerk-auth $(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
RELEASE := RUSTFLAGS="$(strip $(RUSTFLAGS) $(REMAP:%=--remap-path-prefix=%) --remap-path-prefix=$$(rustc --print sysroot)=/rust)" \
    CFLAGS="$(strip $(CFLAGS) $(REMAP:%=-ffile-prefix-map=%) -fstack-protector-strong $(if $(filter x86_64,$(shell uname -m)),-fcf-protection) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)" \
    $(CARGO)
# What `sudo make install` needs in addition is nothing, if the library was built before.
HAS_CARGO = @command -v cargo > /dev/null || { echo 'cargo is not in PATH: run `make lib` as the user who has it, then `make install`' >&2; exit 1; }
SOURCES := Cargo.toml Cargo.lock build.rs $(shell find src -name '*.rs')

# The staged tree is what a user gets from `make install`: examples and C tests see nothing else.
export PKG_CONFIG_PATH := $(STAGE)/lib/pkgconfig
export LD_LIBRARY_PATH := $(STAGE)/lib
export CMAKE_PREFIX_PATH := $(STAGE)
export CLERK_STAGE := $(STAGE)
export CLERK_SIM := $(abspath $(SIM))
export CLERK_CASES := $(abspath $(OUT)/shared-cases.jsonl)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# --- what the machine needs ----------------------------------------------------------------------------------------

.PHONY: tools
tools: ## install what is missing (apt, as root), or say what to install
	@scripts/tools.sh

# --- the library ---------------------------------------------------------------------------------------------------

# User tables on database servers; empty to build without them.
DATABASES ?= mysql,postgres
FEATURES := --features '$(DATABASES)'

ifeq ($(SQLITE),system)
SHARED_FEATURES := --no-default-features --features 'capi,sqlite,redis,$(DATABASES)'
else ifeq ($(SQLITE),bundled)
SHARED_FEATURES := $(FEATURES)
else
$(error SQLITE is `system` or `bundled`)
endif

# Each artifact is built by itself: a build of several crate types at once silently loses link-time optimization.
$(OUT)/$(SONAME): $(SOURCES)
	$(HAS_CARGO)
	@mkdir -p $(OUT)
	@[ $(SQLITE) = bundled ] || pkg-config --exists 'sqlite3 >= 3.34.1' \
	    || { echo 'missing: pkg-config or libsqlite3-dev; install both (`make tools` does), or build with SQLITE=bundled' >&2; exit 1; }
	$(RELEASE) rustc --release --jobs $(JOBS) --lib --crate-type cdylib $(SHARED_FEATURES) -- -C linker=$(CURDIR)/scripts/link-versions.sh
	$(if $(NO_STRIP),cp,strip --strip-unneeded -o $@) $(TARGET)/libclerk_auth.so $(if $(NO_STRIP),$@)

# Only the functions of the header stay global, so that two Rust archives can live in one program. Contains SQLite, so that
# static programs and the bindings need no other file.
$(OUT)/libclerk_auth.a: $(SOURCES) tests/abi/symbols.txt
	$(HAS_CARGO)
	@mkdir -p $(OUT)
	$(RELEASE) rustc --release --jobs $(JOBS) --lib --crate-type staticlib $(FEATURES) -- \
	    --print native-static-libs=$(abspath $(TARGET))/native-static-libs
	scripts/archive.sh $(TARGET)/libclerk_auth.a tests/abi/symbols.txt $@

.PHONY: lib
lib: $(OUT)/$(SONAME) $(OUT)/libclerk_auth.a ## the shared library and the archive

.PHONY: header
header: ## write include/clerk_auth.h, the list of symbols and tests/c/error_calls.h
	CLERK_WRITE_HEADER=1 $(CARGO) test --jobs $(JOBS) --test header -- --test-threads 1 committed_

.PHONY: generate
generate: header ## write everything that is generated from the Rust sources: header, README tables, lists of the bindings
	CLERK_WRITE_GENERATED=1 $(CARGO) test --jobs $(JOBS) --test generate -- --test-threads 1

# In quotes for the shell, whatever a path contains.
quoted = '$(subst ','\'',$(1))'
# $(1): a command of scripts/install.sh
define install_tree
	@DESTDIR=$(call quoted,$(DESTDIR)) PREFIX=$(call quoted,$(PREFIX)) LIBDIR=$(call quoted,$(LIBDIR)) OUT='$(OUT)' TARGET='$(TARGET)' \
	    VERSION='$(VERSION)' STATIC_LIBS='$(STATIC_LIBS)' scripts/install.sh $(1)
endef

.PHONY: install
install: lib ## install into PREFIX (default /usr/local), below DESTDIR; libraries into LIBDIR
	$(call install_tree,install)

.PHONY: tool
tool: $(TARGET)/clerk-auth ## the command clerk-auth, which explains tokens and checks settings

$(TARGET)/clerk-auth: $(SOURCES) $(shell find tool tests/clerk-sim -name '*.rs' -o -name Cargo.toml)
	$(HAS_CARGO)
	$(RELEASE) build --release --jobs $(JOBS) -p clerk-auth-tool
	@touch $@

.PHONY: install-tool
install-tool: tool ## the command and its manual page, into PREFIX
	$(call install_tree,install-tool)

.PHONY: uninstall
uninstall: ## remove what `make install` and `make install-tool` with the same variables have installed
	$(call install_tree,uninstall)

HPP := $(wildcard bindings/cpp/include/*.hpp bindings/cpp/include/clerk_auth/*.hpp bindings/cpp/cmake/clerk_auth-cpp.cmake)

$(OUT)/staged: $(OUT)/$(SONAME) $(OUT)/libclerk_auth.a include/clerk_auth.h clerk-auth.pc.in scripts/install.sh $(wildcard cmake/*.in) $(HPP)
	@rm -rf $(STAGE)
	@QUIET=1; export QUIET; PREFIX='$(STAGE)' LIBDIR='$(STAGE)/lib' OUT='$(OUT)' VERSION='$(VERSION)' STATIC_LIBS='$(STATIC_LIBS)' DESTDIR= scripts/install.sh install
	@touch $@

.PHONY: stage
stage: $(OUT)/staged

$(SIM): $(shell find tests/clerk-sim -name '*.rs' -o -name '*.json' -path '*/data/*') tests/clerk-sim/Cargo.toml Cargo.lock
	$(RELEASE) build --release --jobs $(JOBS) -p clerk-sim
	@touch $@

.PHONY: sim
sim: $(SIM)

# --- examples and demo ---------------------------------------------------------------------------------------------

EXAMPLES := $(patsubst examples/%.c,$(OUT)/examples/%,$(wildcard examples/*.c))

$(OUT)/examples/%: examples/%.c $(wildcard examples/*.h) $(OUT)/staged
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -o $@ $< $$(pkg-config --cflags --libs clerk-auth sqlite3)

.PHONY: examples
examples: tools $(EXAMPLES) ## the C examples, against the staged tree only

.PHONY: demo
demo: tools $(EXAMPLES) $(SIM) ## requests being authenticated through the C library; TOKEN=… talks to the real Clerk
	@examples/demo.sh $(if $(TOKEN),--token $(call quoted,$(TOKEN)))

.PHONY: demo-nginx
demo-nginx: $(OUT)/staged $(SIM) ## nginx with the module in front of an application, and what came of a few requests
	bindings/nginx/demo.sh

# --- tests ---------------------------------------------------------------------------------------------------------

# Without its toolchain a binding is left out, but in CI that is a failure.
with = $(if $(or $(shell command -v $(1)),$(filter true,$(CI))),$(2))

.PHONY: test
test: tools test-rust test-corpus test-c test-cpp $(call with,go,test-go) $(call with,node,test-node) test-servers ## everything

.PHONY: test-rust
test-rust: ## the core
	$(CARGO) test --workspace --jobs $(JOBS)

# $(1): subcommand, $(2): file
define replay
	@mkdir -p $(OUT)
	$(CARGO) run --quiet --jobs $(JOBS) -p corpus-replay -- $(1) $(2) > $(OUT)/$(1).jsonl \
	    || { grep '"verdict":"fail"' $(OUT)/$(1).jsonl; tail -n 1 $(OUT)/$(1).jsonl; exit 1; }
	@tail -n 1 $(OUT)/$(1).jsonl
endef

.PHONY: test-corpus
test-corpus: ## the recorded verdicts and scenarios, through the C functions
	$(call replay,verdicts,tests/corpus/verdicts.json)
	$(call replay,parity,tests/corpus/seed_parity.json)
	$(call replay,handshake,tests/corpus/handshake.json)

.PHONY: test-c
test-c: $(OUT)/staged $(EXAMPLES) $(SIM) ## the C ABI: installed tree, C programs, valgrind, demo
	$(MAKE) --no-print-directory test-install
	tests/c/run.sh
	examples/demo.sh > $(OUT)/demo.txt
	@tail -n 1 $(OUT)/demo.txt | grep -x 'demo: ok'
	@! CLERK_SECRET_KEY=sk_test_none CLERK_API_URL=http://127.0.0.1:9 examples/demo.sh --token bad > $(OUT)/demo-bad.txt 2>&1
	@grep '^FAILED  structure: 3 bytes with 0 dots' $(OUT)/demo-bad.txt

.PHONY: test-install
test-install: $(OUT)/staged abi ## make install, pkg-config and CMake, and the README's install in a mount namespace (2 min)
	tests/install.sh
	tests/readme-install.sh

.PHONY: abi abi-write
abi: ## the ABI of the header against the committed one, by abidiff
	@scripts/tools.sh abigail-tools
	python3 scripts/abi.py check
abi-write: ## write tests/abi/libclerk_auth.so.0.abi, after the ABI has grown
	@scripts/tools.sh abigail-tools
	python3 scripts/abi.py write

# Recorded cases, ready to be played by programs in any language.
$(CLERK_CASES): tests/corpus/verdicts.json tests/corpus/keys.json $(SOURCES) \
    $(shell find tests/corpus-replay tests/clerk-sim -name '*.rs')
	@mkdir -p $(@D)
	$(CARGO) run --quiet --jobs $(JOBS) -p corpus-replay -- share $< > $@

BINDING := $(OUT)/staged $(SIM) $(CLERK_CASES)

.PHONY: test-cpp
test-cpp: $(BINDING) ## the C++ binding
	bindings/cpp/test.sh

.PHONY: test-go
test-go: $(BINDING) ## the Go binding
	bindings/go/test.sh

.PHONY: test-node
test-node: $(BINDING) ## the Node binding
	bindings/node/test.sh

# The oldest glibc that the packages run on; zig links for it. `PACK_GLIBC=` links with the system's compiler instead.
PACK_GLIBC := 2.28
ZIG := $(OUT)/zig/bin/python3

$(ZIG):
	python3 -m venv $(OUT)/zig
	$(OUT)/zig/bin/pip install --quiet --disable-pip-version-check 'ziglang==0.17.1'

.PHONY: pack-node
pack-node: $(OUT)/staged $(if $(PACK_GLIBC),$(ZIG)) ## the npm packages of this platform, in build/npm
	cd bindings/node && { [ -e node_modules/node-api-headers ] || npm ci --silent --ignore-scripts; } && \
	    PYTHON=$(abspath $(ZIG)) node build.mjs $(if $(PACK_GLIBC),--glibc $(PACK_GLIBC)) && node pack.mjs

.PHONY: pack-go
pack-go: $(OUT)/staged ## the Go module with its archive, as a file-based GOPROXY in build/goproxy
	bindings/go/lib/copy.sh
	cd bindings/go && go run ./internal/pack -version v$(VERSION) -out $(abspath $(OUT)/goproxy)

.PHONY: test-packages
test-packages: pack-node pack-go $(SIM) ## the packages in empty npm, pnpm, yarn and Go projects, with the README's lines only
	tests/packages/run.sh

# Debian packages that only the tests of user stores need.
STORES := postgresql mariadb-server

.PHONY: test-stores
test-stores: $(OUT)/staged $(SIM) ## the user stores of Go and Node, with PostgreSQL and MariaDB, in several processes
	@scripts/tools.sh $(STORES)
	tests/stores/run.sh

.PHONY: test-scale
test-scale: ## the shared cache in a real Redis, user tables on database servers: several processes, and faults (5 min)
	@scripts/tools.sh redis-server redis-sentinel $(STORES)
	$(CARGO) clippy --all-targets $(FEATURES) --jobs $(JOBS) -- -D warnings
	JOBS=$(JOBS) tests/scale/run.sh

.PHONY: test-valkey
test-valkey: ## the tests of the shared cache on Valkey, from PyPI, all but those of TLS
	@scripts/tools.sh redis-server
	JOBS=$(JOBS) tests/scale/valkey.sh

.PHONY: bench-scale
bench-scale: ## eight processes, a thousand users, a real Redis, killed in the middle (3 min)
	@scripts/tools.sh redis-server
	$(CARGO) test --jobs $(JOBS) --test scale -- --ignored --nocapture --test-threads 1 bench::

# Debian packages that only the tests of one server need.
NGINX := nginx nginx-dev caddy php-fpm chromium wrk
APACHE := apache2 apache2-dev apache2-utils chromium php-fpm wrk

# $(1): server, $(2): its packages
define test_server
	@status=0; scripts/tools.sh --optional $(2) || status=$$?; \
	    case $$status in 0) $(MAKE) --no-print-directory test-$(1);; 3) echo "left out: test-$(1)";; *) exit 1;; esac
endef

.PHONY: test-servers
test-servers: $(OUT)/staged $(SIM) ## the nginx and Apache modules, pages in a browser; without CI, those whose packages are installed or can be
	$(call test_server,nginx,$(NGINX))
	$(call test_server,apache,$(APACHE))
	$(call test_server,pages,chromium)

.PHONY: test-pages
test-pages: $(OUT)/staged $(SIM) ## pages of the Go and the Node binding in a browser: they stay signed in
	@scripts/tools.sh chromium
	tests/browser/pages.sh $(call with,go,go) $(call with,node,node)

.PHONY: test-apache
test-apache: $(OUT)/staged $(SIM) ## the Apache module, in Debian's Apache
	@scripts/tools.sh $(APACHE)
	$(MAKE) -C bindings/apache
	python3 bindings/apache/tests/run.py

.PHONY: test-nginx
test-nginx: $(OUT)/staged $(SIM) ## the nginx module, in Debian's nginx
	@scripts/tools.sh $(NGINX)
	bindings/nginx/test.sh

# --- reliability: docs/reliability.md has the figures, and a row for each target of this section ------------------------

.PHONY: fuzz-quick
fuzz-quick: ## every fuzz target for 4 seconds (90 s, and 2 to 3 minutes to build)
	scripts/fuzz.sh 4
	scripts/fuzz-servers.sh 4

SECONDS_EACH ?= 60

.PHONY: fuzz
fuzz: ## fuzz targets for a minute each (20 min); TARGETS=… selects some, SECONDS_EACH=… takes longer
	scripts/fuzz.sh $(SECONDS_EACH) $(TARGETS)
	$(if $(TARGETS),,scripts/fuzz-servers.sh $(SECONDS_EACH))

# API faults × cache states × user modes, and other outages, three times; no result later than 50 ms after timeout_ms.
.PHONY: faults
faults: ## faults of Clerk, TLS, proxies and names × states × calls, three times, with 50 ms of tolerance (6 min, on an idle machine)
	CLERK_TEST_SLACK_MS=50 $(CARGO) test --jobs $(JOBS) --lib -- resolver::
	@for run in 1 2 3; do CLERK_TEST_SLACK_MS=50 $(CARGO) test --jobs $(JOBS) --test matrix --test outages -- --test-threads 2; done

# Repeats the loops that start and kill processes.
CRASH_S ?= 120
.PHONY: crash
crash: ## simultaneous starts, kill -9 and a cut WAL on the SQLite store, and kill -9 on PostgreSQL: CRASH_S=120 seconds each (5 min)
	CLERK_AUTH_CRASH_S=$(CRASH_S) $(CARGO) test --jobs $(JOBS) --test sqlite -- --nocapture processes:: truncated_wal killed_backup
	@scripts/tools.sh $(STORES)
	CLERK_AUTH_CRASH_S=$(CRASH_S) CLERK_AUTH_TEST_ENGINE=postgres JOBS=$(JOBS) tests/scale/sql.sh killed

MINUTES ?= 15

.PHONY: soak
soak: ## requests beside changes, bans, rotations and faults, with an oracle (MINUTES=15); charts in build/soak
	CLERK_SOAK_S=$$(( $(MINUTES) * 60 )) $(CARGO) test --jobs $(JOBS) --test soak -- --nocapture

.PHONY: shuttle
shuttle: ## the library's locks under thousands of schedules (10 s, and 3 min to build); SHUTTLE_SCHEDULES=… takes more
	RUSTFLAGS="--cfg fuzzing --cfg shuttle" $(CARGO) test --manifest-path tests/schedules/Cargo.toml --target-dir target/schedules --locked --jobs $(JOBS) \
	    -- --test-threads 1

.PHONY: asan
asan: $(SIM) ## C tests and fuzz targets under AddressSanitizer (12 min)
	scripts/asan.sh

.PHONY: tsan
tsan: $(SIM) ## Rust tests and C tests under ThreadSanitizer, with an instrumented std (20 min; needs rust-src)
	scripts/tsan.sh

MIRI := json:: request:: jwt::permissions jwt::policy users::sync users::diff users::username cache:: rate_limit:: token::

.PHONY: miri
miri: ## pure modules in Miri (10 min; needs a nightly toolchain with miri and rust-src)
	@cargo +nightly miri --version > /dev/null 2>&1 || { echo 'Miri is missing: rustup +nightly component add miri rust-src'; exit 1; }
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --lib --no-default-features --target-dir target/miri -- $(MIRI) \
	    --skip cost --skip million --skip capacity_holds --skip result_cache --skip shared_cache --skip proptest

.PHONY: cover
cover: $(SIM) ## lines of src/ that the Rust and C tests run; fails below 96.5 % (15 min; needs llvm-tools)
	@scripts/tools.sh redis-server redis-sentinel $(STORES)
	scripts/cover.sh

.PHONY: mutants
mutants: ## mutation tests of the five core files (1 h; needs cargo-mutants); SHARD=0/4 takes the first of four parts
	scripts/mutants.sh

.PHONY: minimal-versions
minimal-versions: ## the library with the lowest versions that Cargo.toml allows (3 min)
	scripts/minimal-versions.sh

# --- other checks, benches, documentation, packages ---------------------------------------------------------------------

.PHONY: lint
lint: ## formatting, clippy, docs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --jobs $(JOBS) -- -D warnings
	$(CARGO) clippy --lib --no-default-features --jobs $(JOBS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --jobs $(JOBS) --workspace

.PHONY: third-party
third-party: ## write THIRD-PARTY-LICENSES from the sources of all crates that the library contains
	scripts/third-party.py > $(OUT)/THIRD-PARTY-LICENSES
	mv $(OUT)/THIRD-PARTY-LICENSES .

.PHONY: deny
deny: ## licences, duplicate majors, banned crates and sources of all dependencies; advisories unless OFFLINE=1 (1 min)
	@command -v cargo-deny > /dev/null || { echo 'cargo-deny is missing: cargo install --locked cargo-deny'; exit 1; }
	cargo-deny $(if $(OFFLINE),--offline) check bans licenses sources $(if $(OFFLINE),,advisories)

MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: msrv
msrv: ## the library with the oldest supported Rust, if rustup has it
	@cargo +$(MSRV) --version 2> /dev/null || { echo 'Rust $(MSRV) is missing: rustup toolchain install $(MSRV)'; exit 1; }
	$(CARGO) +$(MSRV) check --lib --examples --all-features --jobs $(JOBS) --target-dir target/msrv

# SHA-256 and RSA of the same crates as C functions, for the benches of all languages.
ANCHOR := $(TARGET)/libanchor.so
export CLERK_ANCHOR := $(abspath $(ANCHOR))

$(ANCHOR): benches/anchor/src/lib.rs benches/anchor/Cargo.toml Cargo.lock
	$(RELEASE) build --release --jobs $(JOBS) -p anchor
	@touch $@

.PHONY: anchor
anchor: $(ANCHOR)

# The staged library is measured, as C programs load it. The program that measures needs no release build: Cargo.toml has it optimized.
export CLERK_LIBRARY := $(STAGE)/lib/$(SONAME)
GATES := $(CARGO) run --quiet --jobs $(JOBS) -p benches --bin gates --

.PHONY: bench-quick
bench-quick: $(OUT)/staged $(ANCHOR) ## each path beside its physical limit; fails if a gate is missed by more than SLACK (0.05: 5 %); RELATIVE=1 leaves out what a busy machine changes
	$(GATES) $(if $(SLACK),--slack $(SLACK)) $(if $(RELATIVE),--relative) $(if $(DATA),--data $(abspath $(DATA)))

.PHONY: bench-instructions
bench-instructions: $(OUT)/staged $(ANCHOR) ## instructions of a hit besides SHA-256, by callgrind
	@scripts/tools.sh valgrind
	$(GATES) --instructions

.PHONY: bench-webhooks
bench-webhooks: ## cached hits beside a stream of webhook events (30 s, and 3 min to build)
	$(RELEASE) run --quiet --release --jobs $(JOBS) -p benches --bin invalidation

# $(1): toolchain, $(2): script of a bench
bench_of = $(if $(shell command -v $(1)),$(2),@echo "left out: $(2), because $(1) is missing")

# Debian packages of the libraries that C++ compares with.
PEERS := libcpp-jwt-dev libjwt-dev liboauth2-dev

.PHONY: bench-bindings
bench-bindings: $(OUT)/staged $(SIM) $(ANCHOR) ## a cached hit from C++, Go and Node beside its limit and its peers; fails as bench-quick does
	@scripts/tools.sh $(PEERS)
	bindings/cpp/bench.sh
	$(call bench_of,go,bindings/go/bench.sh)
	$(call bench_of,node,bindings/node/bench.sh)

# A gate that is missed does not end the measurement; a missing package does.
MEASURED := $(OUT)/bench

.PHONY: bench
bench: $(OUT)/staged $(SIM) $(ANCHOR) ## all benches in one run; writes tables and plots of docs/performance.md (15 min)
	@scripts/tools.sh $(PEERS) python3-venv
	@mkdir -p $(MEASURED)
	MAKE='$(MAKE)' scripts/performance.py $(MEASURED)

# Debian packages that the documentation is built with.
DOCS := doxygen graphviz python3-venv

.PHONY: docs
docs: ## the documentation, in build/site (2 min; later runs 1 min)
	@scripts/tools.sh $(DOCS)
	JOBS=$(JOBS) docs/site/build.sh

.PHONY: test-docs
test-docs: $(OUT)/staged $(SIM) ## the documentation: links, every code block, pages in a browser (4 min)
	@scripts/tools.sh $(DOCS) chromium
	bindings/go/lib/copy.sh
	CLERK_DOCS_ALL=1 JOBS=$(JOBS) docs/site/build.sh
	python3 tests/site/run.py

.PHONY: deb deb-apache deb-nginx
deb: deb-library deb-apache deb-nginx ## Debian packages of the library, the command and the server modules, in build/deb
.PHONY: deb-library
deb-library: $(OUT)/staged tool
	@scripts/tools.sh debhelper dpkg-dev lintian
	TARGET='$(abspath $(TARGET))' VERSION='$(VERSION)' STATIC_LIBS='$(STATIC_LIBS)' packaging/deb.sh
.PHONY: test-deb
test-deb: deb-library $(SIM) ## these packages in a Debian of their own: installed, examples compiled and run, removed (5 min, as root)
	@scripts/tools.sh debootstrap
	packaging/test-deb.sh
deb-apache: $(OUT)/staged
	@scripts/tools.sh apache2 apache2-dev debhelper dpkg-dev lintian
	bindings/apache/deb.sh
deb-nginx: $(OUT)/staged
	$(MAKE) -C bindings/nginx deb

.PHONY: dist test-dist
dist: ## a source tarball with all crates, in build/dist (3 min)
	packaging/dist.sh
test-dist: dist ## the tarball builds and installs without network (8 min)
	packaging/test-dist.sh

.PHONY: test-musl
test-musl: ## a static program for musl; needs the target of rustup (5 min)
	@scripts/tools.sh musl-tools
	JOBS=$(JOBS) packaging/test-musl.sh

.PHONY: bench-servers
bench-servers: $(OUT)/staged $(SIM) ## server modules: requests a second, beside the same server without them
	bindings/nginx/bench.sh
	@scripts/tools.sh $(APACHE)
	$(MAKE) -C bindings/apache
	python3 bindings/apache/bench.py

.PHONY: clean
clean: ## remove what was built
	$(CARGO) clean
	rm -rf bindings/apache/build $(OUT) bindings/go/lib/*/{libclerk_auth.a,clerk_auth.h} bindings/node/{node_modules,prebuilds,runtimes,LICENSE-*}
