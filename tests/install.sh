#!/usr/bin/env bash
# Checks what `make install` installs, and that a program finds it by pkg-config and by CMake, shared and static. Also
# checks that all lists of symbols and of libraries are the same.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cc pkg-config cmake make nm readelf ldd cargo; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
# Neither the staged tree nor the variables of a calling make may be used.
unset LD_LIBRARY_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR CMAKE_PREFIX_PATH
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR PREFIX LIBDIR

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

passed=0 failed=0
# check NAME COMMAND...: prints one line, and the command's output if it failed.
check() {
  local name=$1 status=0
  shift
  "$@" > "$tmp/output.txt" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    tail -n 40 "$tmp/output.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}
same() { diff <(tr ' ' '\n' <<< "$1" | sort -u) <(tr ' ' '\n' <<< "$2" | sort -u); }

# --- three ways to install --------------------------------------------------------------------------------------------

here=$tmp/here dest=$tmp/dest arch=$tmp/arch
install_with() {
  make --no-print-directory install "$@" > "$tmp/make.txt" 2>&1 || { cat "$tmp/make.txt" >&2; exit 1; }
}
# A caller's umask changes nothing; nor does a PATH without cargo, as that of sudo, once the library is built.
(umask 077 && PATH=/usr/local/bin:/usr/bin:/bin install_with PREFIX="$here")
install_with DESTDIR="$dest" PREFIX=/opt/clerk
install_with prefix="$(realpath --relative-to=. "$arch")" libdir="$arch/lib/arch"
install_with PREFIX="$tmp/split" LIBDIR="$tmp/libraries"

# installs_files ROOT LIBDIR: these files and no others.
installs_files() {
  local lib=${2#/}
  diff <(cd "$1" && find . ! -type d | sed 's|^\./||' | sort) <(sort << LIST
include/clerk_auth.h
$(cd bindings/cpp && ls include/clerk_auth.hpp include/clerk_auth/*.hpp)
$lib/cmake/clerk_auth/clerk_auth-config-version.cmake
$lib/cmake/clerk_auth/clerk_auth-config.cmake
$lib/cmake/clerk_auth/clerk_auth-cpp.cmake
$lib/libclerk_auth.a
$lib/libclerk_auth.so
$lib/libclerk_auth.so.0
$lib/libclerk_auth.so.$version
$lib/pkgconfig/clerk-auth.pc
$(printf 'share/doc/clerk-auth/%s\n' CHANGELOG.md LICENSE-APACHE LICENSE-MIT README.md THIRD-PARTY-LICENSES)
LIST
  ) && [ "$(readlink "$1/$lib/libclerk_auth.so")" = libclerk_auth.so.0 ] &&
    [ "$(readlink "$1/$lib/libclerk_auth.so.0")" = "libclerk_auth.so.$version" ] &&
    # Writable by the owner only, readable by all.
    [ -z "$(find "$1" -type f -perm /022)" ] && [ -z "$(find "$1" -type f ! -perm -044)" ] &&
    [ -z "$(find "$1" -mindepth 1 -type d ! -perm 755)" ]
}
check "files below PREFIX" installs_files "$here" lib
check "files below DESTDIR and PREFIX" installs_files "$dest/opt/clerk" lib
check "files below a relative prefix with a separate libdir" installs_files "$arch" lib/arch
templates_are_filled() {
  ! grep -rn "@\|$dest" "$here"/lib/{pkgconfig,cmake} "$dest"/opt/clerk/lib/{pkgconfig,cmake} &&
    ! grep -rn '@' "$arch"/lib/arch/{pkgconfig,cmake}
}
check "templates are filled and do not contain DESTDIR" templates_are_filled

# rejects_in_one_line EXPECTED VARIABLE...: `make install` and `make install-tool` fail and say why.
rejects_in_one_line() {
  local expected=$1 status target
  shift
  for target in install install-tool; do
    status=0
    make --no-print-directory -o tool "$target" "$@" > "$tmp/make.txt" 2>&1 || status=$?
    cat "$tmp/make.txt"
    [ "$status" -ne 0 ] && grep -F "make $target: $expected" "$tmp/make.txt" &&
      [ "$(grep -vc '^make: \*\*\*' "$tmp/make.txt")" -eq 1 ] || return 1
  done
}
touch "$tmp/file"
check "an empty PREFIX is rejected" rejects_in_one_line "PREFIX is empty" PREFIX=
check "a PREFIX of blanks is rejected" rejects_in_one_line "PREFIX is empty" PREFIX=' '
check "a PREFIX with a quote is rejected" rejects_in_one_line "PREFIX, LIBDIR and DESTDIR cannot contain" PREFIX="$tmp/o'clock"
check "a PREFIX that cannot be created is rejected" rejects_in_one_line "mkdir: " PREFIX=/proc/none
check "a PREFIX that is a file is rejected" rejects_in_one_line "$tmp/file is not a folder" PREFIX="$tmp/file"
if [ "$(id -u)" -eq 0 ] && unshare --mount true 2> /dev/null; then
  export -f rejects_in_one_line
  export tmp
  mkdir "$tmp/read-only"
  check "a read-only PREFIX is rejected" unshare --mount bash -c \
    'mount -t tmpfs -o ro tmpfs "$tmp/read-only" && rejects_in_one_line "$tmp/read-only is not writable" PREFIX="$tmp/read-only"'
fi
uninstalls() {
  local of_the_user=(include/clerk_auth/user.h lib/cmake/clerk_auth/user.txt lib/user share/doc/clerk-auth/user)
  # The command is a script here: it is not built for this test.
  printf '#!/bin/sh\necho .TH\n' > "$tmp/clerk-auth" && chmod +x "$tmp/clerk-auth" && install_with PREFIX="$tmp/removed" &&
    (umask 077 && make --no-print-directory -o tool install-tool TARGET="$tmp" PREFIX="$tmp/removed") &&
    [ "$(cd "$tmp/removed" && find bin share/man -printf '%m %p\n' | sort -k 2 | tr '\n' ' ')" = \
      '755 bin 755 bin/clerk-auth 755 share/man 755 share/man/man1 644 share/man/man1/clerk-auth.1 ' ] &&
    (cd "$tmp/removed" && touch "${of_the_user[@]}") &&
    make --no-print-directory uninstall PREFIX="$tmp/removed" &&
    diff <(cd "$tmp/removed" && find . ! -type d | sort) <(printf './%s\n' "${of_the_user[@]}")
}
check "uninstall removes what install has installed, and nothing else" uninstalls
# Paths of the machine that built it, which would be in panic messages.
no_build_paths() {
  ! strings "$here"/lib/libclerk_auth.{a,so} | grep -F -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" -e "$(rustc --print sysroot)"
}
check "no path of the machine in the objects" no_build_paths
check "licences of all linked crates are named" scripts/third-party.py --check

# --- a program --------------------------------------------------------------------------------------------------------

mkdir "$tmp/use"
cat > "$tmp/use/use.c" << 'PROGRAM'
#include <clerk_auth.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    if (clerk_abi_version() >> 16 != CLERK_ABI_MAJOR || (clerk_abi_version() & 0xffff) < CLERK_ABI_MINOR) return 1;
    clerk_config *config = clerk_config_new();
    clerk_client *client = NULL;
    clerk_error *error = NULL;
    int32_t status = clerk_client_new(config, &client, &error);
    clerk_str setting = clerk_error_setting(error);
    int is_expected = status == CLERK_E_CONFIG && strcmp(setting.data, "secret_key") == 0;
    clerk_error_free(error);
    if (clerk_config_set(config, CLERK_STR("secret_key"), CLERK_STR("sk_test_x"), NULL) != CLERK_OK) return 2;
    if (clerk_client_new(config, &client, NULL) != CLERK_OK) return 3;
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;
    if (clerk_authenticate(client, &request, &result, NULL) != CLERK_NO_CREDENTIALS) return 4;
    clerk_result_free(result);
    clerk_client_free(client);
    clerk_config_free(config);
    puts(clerk_version());
    return is_expected ? 0 : 5;
}
PROGRAM

# runs LIBDIR PROGRAM: prints the version, with the shared library of that folder or with none.
runs() {
  [ "$(LD_LIBRARY_PATH=$1 "$2")" = "$version" ]
}
# is_fully_static PROGRAM: it needs no shared library, not even that of C, and runs.
is_fully_static() {
  ! readelf -dW "$1" | grep NEEDED
  runs /nowhere "$1"
}
# by_pkg_config ROOT LIBDIR [SYSROOT]
by_pkg_config() {
  local flags libdir
  export PKG_CONFIG_PATH=$2/pkgconfig PKG_CONFIG_SYSROOT_DIR=${3:-}
  [ "$(pkg-config --modversion clerk-auth)" = "$version" ]
  read -ra flags <<< "$(pkg-config --cflags --libs clerk-auth)"
  cc -std=c11 -Wall -Werror -o "$tmp/shared" "$tmp/use/use.c" "${flags[@]}"
  runs "$2" "$tmp/shared"
  # `grep -q` would exit before its writer, and pipefail would report that as a failure.
  LD_LIBRARY_PATH=$2 ldd "$tmp/shared" | grep "libclerk_auth.so.0 => $2/" > /dev/null
  libdir=$2
  read -ra flags <<< "$(pkg-config --cflags --static --libs clerk-auth | sed "s|-lclerk_auth|$libdir/libclerk_auth.a|")"
  cc -std=c11 -Wall -Werror -o "$tmp/static" "$tmp/use/use.c" "${flags[@]}"
  runs /nowhere "$tmp/static"
  ! ldd "$tmp/static" | grep clerk
  cc -std=c11 -static -o "$tmp/fully-static" "$tmp/use/use.c" "${flags[@]}"
  is_fully_static "$tmp/fully-static"
}
# `set -e` has no effect inside `||`: each check gets its own shell.
export -f by_pkg_config runs is_fully_static
export tmp version
alone() { bash -euo pipefail -c '"$@"' _ "$@"; }
check "pkg-config, shared and static" alone by_pkg_config "$here" "$here/lib"
check "pkg-config below DESTDIR" alone by_pkg_config "$dest/opt/clerk" "$dest/opt/clerk/lib" "$dest"
pkg_config_with_blank() {
  make --no-print-directory install PREFIX="$tmp/a b"
  export PKG_CONFIG_PATH="$tmp/a b/lib/pkgconfig"
  # Its output is quoted for a shell.
  eval "cc -std=c11 -o '$tmp/blank' '$tmp/use/use.c' $(pkg-config --cflags --libs clerk-auth)"
  runs "$tmp/a b/lib" "$tmp/blank"
}
export -f pkg_config_with_blank
check "pkg-config with a blank in PREFIX" alone pkg_config_with_blank
check "pkg-config with a separate LIBDIR" alone by_pkg_config "$arch" "$arch/lib/arch"

cat > "$tmp/use/CMakeLists.txt" << 'PROJECT'
cmake_minimum_required(VERSION 3.15)
project(use C)
find_package(clerk_auth ${WANTED} REQUIRED)
# Must work twice.
find_package(clerk_auth REQUIRED)
add_executable(shared use.c)
target_link_libraries(shared PRIVATE clerk_auth::clerk_auth)
add_executable(static use.c)
target_link_libraries(static PRIVATE clerk_auth::static)
add_executable(fully_static use.c)
target_link_libraries(fully_static PRIVATE clerk_auth::static -static)
file(WRITE "${CMAKE_BINARY_DIR}/version.txt" "${clerk_auth_VERSION}")
PROJECT
# by_cmake LIBDIR
by_cmake() {
  local built=$tmp/built
  rm -rf "$built"
  cmake -S "$tmp/use" -B "$built" -DWANTED=0.1 -Dclerk_auth_DIR="$1/cmake/clerk_auth"
  cmake --build "$built"
  [ "$(cat "$built/version.txt")" = "$version" ]
  runs "$1" "$built/shared"
  runs /nowhere "$built/static"
  # The loader finds the library in the folder itself, not by way of the CMake files.
  readelf -dW "$built/shared" | grep "R.*PATH.*\[$1[]:]"
  readelf -dW "$built/shared" | grep 'NEEDED.*libclerk_auth\.so\.0' > /dev/null
  ! ldd "$built/static" | grep clerk
  is_fully_static "$built/fully_static"
}
by_cmake_prefix() {
  rm -rf "$tmp/built"
  cmake -S "$tmp/use" -B "$tmp/built" "-DWANTED=$2" -DCMAKE_PREFIX_PATH="$1"
  cmake --build "$tmp/built"
  runs "$1/lib" "$tmp/built/shared"
}
cmake_rejects() {
  rm -rf "$tmp/built"
  ! cmake -S "$tmp/use" -B "$tmp/built" "-DWANTED=$2" -DCMAKE_PREFIX_PATH="$1"
}
export -f by_cmake by_cmake_prefix cmake_rejects
check "CMake, shared and static" alone by_cmake "$here/lib"
check "CMake below DESTDIR" alone by_cmake "$dest/opt/clerk/lib"
check "CMake with a separate LIBDIR" alone by_cmake "$arch/lib/arch"
check "CMake with a LIBDIR outside PREFIX" alone by_cmake "$tmp/libraries"
check "CMake with a blank in PREFIX" alone by_cmake_prefix "$tmp/a b" 0.1
check "CMake by CMAKE_PREFIX_PATH" alone by_cmake_prefix "$here" 0.1
check "CMake rejects a later version" alone cmake_rejects "$here" 0.2
# An installation of the next major version.
cp -r "$here" "$tmp/next"
sed -i "s/PACKAGE_VERSION \"$version\"/PACKAGE_VERSION \"1.2.0\"/" \
  "$tmp/next/lib/cmake/clerk_auth/clerk_auth-config-version.cmake"
check "CMake rejects another major version" alone cmake_rejects "$tmp/next" 0.1
check "CMake accepts a later minor version" alone by_cmake_prefix "$tmp/next" 1.1

# A header that another version left, and a library that does not belong to it.
cp -r "$here" "$tmp/mixed"
sed -i 's/define CLERK_VERSION_MINOR .*/define CLERK_VERSION_MINOR 7/' "$tmp/mixed/include/clerk_auth.h"
names_the_mix() {
  cmake_rejects "$tmp/mixed" 0.1 2>&1 | grep 'clerk_auth.h is of version 0\.7\.0'
}
export -f names_the_mix
check "CMake rejects a header of another version" alone names_the_mix
# An older CMake is not at hand: its version is.
mkdir "$tmp/old"
sed 's/^find_package(clerk_auth \$.*/set(CMAKE_VERSION 3.14.7)\n&/' "$tmp/use/CMakeLists.txt" > "$tmp/old/CMakeLists.txt"
names_the_old_version() {
  ! cmake -S "$tmp/old" -B "$tmp/old/built" -DCMAKE_PREFIX_PATH="$here" > "$tmp/old/log.txt" 2>&1 &&
    grep 'clerk_auth needs CMake 3\.15 or newer; this is 3\.14\.7' "$tmp/old/log.txt"
}
check "CMake that is too old is named" names_the_old_version

cat > "$tmp/use/source.txt" << 'PROJECT'
cmake_minimum_required(VERSION 3.15)
project(use C)
add_subdirectory("${TREE}" clerk_auth)
add_executable(use use.c)
target_link_libraries(use PRIVATE clerk_auth::clerk_auth)
install(TARGETS use RUNTIME DESTINATION bin)
PROJECT
from_source() {
  mkdir "$tmp/source"
  cp "$tmp/use/use.c" "$tmp/source"
  cp "$tmp/use/source.txt" "$tmp/source/CMakeLists.txt"
  cmake -S "$tmp/source" -B "$tmp/source/built" -DTREE="$PWD"
  cmake --build "$tmp/source/built"
  runs /nowhere "$tmp/source/built/use"
  cmake --install "$tmp/source/built" --prefix "$tmp/source/installed"
  [ "$(cd "$tmp/source/installed" && find . ! -type d)" = ./bin/use ]
}
export -f from_source
check "CMake from source, which installs no file of its own" alone from_source

# --- lists -------------------------------------------------------------------------------------------------

functions_of_header() {
  cc -E -P -x c "$here/include/clerk_auth.h" | grep -oE '\bclerk_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u
}
same_symbols() {
  diff <(functions_of_header) tests/abi/symbols.txt &&
    diff <(nm -D --defined-only "$here/lib/libclerk_auth.so" | awk '$2 == "T" { print $3 }' | sort) \
      <(sed 's/$/@@CLERK_0/' tests/abi/symbols.txt)
}
# The symbols file of Debian says in which version each function was added.
debian_symbols() {
  diff <(sed -n 's/^ \(clerk_[a-z0-9_]*\)@CLERK_0 .*/\1/p' packaging/debian/libclerk-auth0.symbols | sort) tests/abi/symbols.txt
}
same_versions() {
  local found
  found=$(
    awk '/^#define CLERK_VERSION_(MAJOR|MINOR|PATCH) / { version = version "." $3 } END { print "header " substr(version, 2) }' \
      "$here/include/clerk_auth.h"
    sed -n 's/^Version: /pkg-config /p' "$here/lib/pkgconfig/clerk-auth.pc"
    sed -n 's/^set(PACKAGE_VERSION "\?\([0-9.]*\).*/CMake \1/p' "$here/lib/cmake/clerk_auth/clerk_auth-config-version.cmake"
    sed -n 's/^version = "\(.*\)"/command \1/p' tool/Cargo.toml
    sed -n 's/^  "version": "\(.*\)",/npm \1/p' bindings/node/package.json
    sed -n 's/^## \[\([0-9.]*\)\].*/changelog \1/p' CHANGELOG.md | head -n 1
    sed -n 's/^  "version.*": "\(.*\)",/vcpkg \1/p' packaging/vcpkg/vcpkg.json
    sed -n '1s/.*(\(.*\)).*/Debian \1/p' packaging/debian/changelog
    sed -n '1s/.*(\(.*\)).*/Debian-Apache \1/p' bindings/apache/debian/changelog
  )
  echo "$found"
  [ "$(wc -l <<< "$found")" -eq 9 ] && [ "$(sed 's/.* //' <<< "$found" | sort -u)" = "$version" ]
}
same_libraries() {
  local rustc makefile pc cmake config=$here/lib/cmake/clerk_auth/clerk_auth-config.cmake
  rustc=$(sed 's/-lgcc_s *//' target/release/native-static-libs)
  makefile=$(sed -n 's/^STATIC_LIBS := //p' Makefile)
  pc=$(sed -n 's/^Libs.private: //p' "$here/lib/pkgconfig/clerk-auth.pc")
  cmake=$(sed -n 's/.*INTERFACE_LINK_LIBRARIES "\(.*\)".*/-l\1/p' "$config" | sed 's/;/ -l/g')
  echo "rustc: $rustc"
  [ -n "$rustc" ] && same "$rustc" "$makefile" && same "$rustc" "$pc" && same "$rustc" "$cmake"
}
no_bitcode() {
  readelf -SW "$here/lib/libclerk_auth.a" > "$tmp/sections.txt" && grep -q '\.text' "$tmp/sections.txt" &&
    ! grep 'llvmbc\|llvmcmd\|debug_info' "$tmp/sections.txt"
}
check "functions of header, library and tests/abi/symbols.txt" same_symbols
check "functions of the symbols file of Debian" debian_symbols
check "versions of all parts" same_versions
check "libraries of rustc, Makefile, pkg-config and CMake" same_libraries
check "archive contains neither bitcode nor debug information" no_bitcode

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
