#!/usr/bin/env bash
# What `make install` puts where, and whether a program finds it there: by pkg-config and by CMake, shared and static.
# Also that all lists of symbols and of libraries are one.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cc pkg-config cmake make nm readelf ldd cargo; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
# Neither the staged tree nor the settings of a make that called this may come in.
unset LD_LIBRARY_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR CMAKE_PREFIX_PATH
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR PREFIX LIBDIR

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

passed=0 failed=0
# NAME COMMAND...: one line, and what the command said if it failed.
check() {
  local name=$1 status=0
  shift
  "$@" > "$tmp/said.txt" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    tail -n 40 "$tmp/said.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}
same() { diff <(tr ' ' '\n' <<< "$1" | sort -u) <(tr ' ' '\n' <<< "$2" | sort -u); }

# --- three ways to install --------------------------------------------------------------------------------------------

here=$tmp/here dest=$tmp/dest arch=$tmp/arch
install_with() {
  make --no-print-directory install "$@" > "$tmp/make.txt" 2>&1 || { cat "$tmp/make.txt" >&2; exit 1; }
}
install_with PREFIX="$here"
install_with DESTDIR="$dest" PREFIX=/opt/clerk
install_with PREFIX="$arch" LIBDIR="$arch/lib/arch"

# ROOT LIBDIR: these files and no others.
the_files() {
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
LIST
  ) && [ "$(readlink "$1/$lib/libclerk_auth.so")" = libclerk_auth.so.0 ] &&
    [ "$(readlink "$1/$lib/libclerk_auth.so.0")" = "libclerk_auth.so.$version" ] &&
    # Nobody but the owner writes, everybody reads.
    [ -z "$(find "$1" -type f -perm /022)" ] && [ -z "$(find "$1" -type f ! -perm -044)" ]
}
check "the files below PREFIX" the_files "$here" lib
check "the files below DESTDIR and PREFIX" the_files "$dest/opt/clerk" lib
check "the files below PREFIX with a LIBDIR of its own" the_files "$arch" lib/arch
nothing_left_to_fill_in() {
  ! grep -rn "@\|$dest" "$here"/lib/{pkgconfig,cmake} "$dest"/opt/clerk/lib/{pkgconfig,cmake} &&
    ! grep -rn '@' "$arch"/lib/arch/{pkgconfig,cmake}
}
check "no place is left to fill in, and DESTDIR shows nowhere" nothing_left_to_fill_in

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
    int as_expected = status == CLERK_E_CONFIG && strcmp(setting.data, "secret_key") == 0;
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
    return as_expected ? 0 : 5;
}
PROGRAM

# LIBDIR PROGRAM: says the version, with the shared library of that folder or with none.
runs() {
  [ "$(LD_LIBRARY_PATH=$1 "$2")" = "$version" ]
}
# ROOT LIBDIR [SYSROOT]
by_pkg_config() {
  local flags libdir
  export PKG_CONFIG_PATH=$2/pkgconfig PKG_CONFIG_SYSROOT_DIR=${3:-}
  [ "$(pkg-config --modversion clerk-auth)" = "$version" ]
  read -ra flags <<< "$(pkg-config --cflags --libs clerk-auth)"
  cc -std=c11 -Wall -Werror -o "$tmp/shared" "$tmp/use/use.c" "${flags[@]}"
  runs "$2" "$tmp/shared"
  # `grep -q` would end before its writer does, and pipefail take that for a failure.
  LD_LIBRARY_PATH=$2 ldd "$tmp/shared" | grep "libclerk_auth.so.0 => $2/" > /dev/null
  libdir=$2
  read -ra flags <<< "$(pkg-config --cflags --static --libs clerk-auth | sed "s|-lclerk_auth|$libdir/libclerk_auth.a|")"
  cc -std=c11 -Wall -Werror -o "$tmp/static" "$tmp/use/use.c" "${flags[@]}"
  runs /nowhere "$tmp/static"
  ! ldd "$tmp/static" | grep clerk
}
# `set -e` does not hold inside `||`: each gets a shell of its own.
export -f by_pkg_config runs
export tmp version
alone() { bash -euo pipefail -c '"$@"' _ "$@"; }
check "pkg-config, shared and static" alone by_pkg_config "$here" "$here/lib"
check "pkg-config below DESTDIR" alone by_pkg_config "$dest/opt/clerk" "$dest/opt/clerk/lib" "$dest"
check "pkg-config with a LIBDIR of its own" alone by_pkg_config "$arch" "$arch/lib/arch"

cat > "$tmp/use/CMakeLists.txt" << 'PROJECT'
cmake_minimum_required(VERSION 3.15)
project(use C)
find_package(clerk_auth ${WANTED} REQUIRED)
# Found twice is found once.
find_package(clerk_auth REQUIRED)
add_executable(shared use.c)
target_link_libraries(shared PRIVATE clerk_auth::clerk_auth)
add_executable(static use.c)
target_link_libraries(static PRIVATE clerk_auth::static)
file(WRITE "${CMAKE_BINARY_DIR}/version.txt" "${clerk_auth_VERSION}")
PROJECT
# LIBDIR
by_cmake() {
  local built=$tmp/built
  rm -rf "$built"
  cmake -S "$tmp/use" -B "$built" -DWANTED=0.1 -Dclerk_auth_DIR="$1/cmake/clerk_auth"
  cmake --build "$built"
  [ "$(cat "$built/version.txt")" = "$version" ]
  runs "$1" "$built/shared"
  runs /nowhere "$built/static"
  readelf -dW "$built/shared" | grep 'NEEDED.*libclerk_auth\.so\.0' > /dev/null
  ! ldd "$built/static" | grep clerk
}
by_cmake_prefix() {
  rm -rf "$tmp/built"
  cmake -S "$tmp/use" -B "$tmp/built" "-DWANTED=$2" -DCMAKE_PREFIX_PATH="$1"
  cmake --build "$tmp/built"
  runs "$1/lib" "$tmp/built/shared"
}
cmake_refuses() {
  rm -rf "$tmp/built"
  ! cmake -S "$tmp/use" -B "$tmp/built" "-DWANTED=$2" -DCMAKE_PREFIX_PATH="$1"
}
export -f by_cmake by_cmake_prefix cmake_refuses
check "CMake, shared and static" alone by_cmake "$here/lib"
check "CMake below DESTDIR" alone by_cmake "$dest/opt/clerk/lib"
check "CMake with a LIBDIR of its own" alone by_cmake "$arch/lib/arch"
check "CMake by CMAKE_PREFIX_PATH" alone by_cmake_prefix "$here" 0.1
check "CMake refuses a version that is not there yet" alone cmake_refuses "$here" 0.2
# The next major version, asked for as this one.
cp -r "$here" "$tmp/next"
sed -i "s/PACKAGE_VERSION \"$version\"/PACKAGE_VERSION \"1.2.0\"/" \
  "$tmp/next/lib/cmake/clerk_auth/clerk_auth-config-version.cmake"
check "CMake refuses another major version" alone cmake_refuses "$tmp/next" 0.1
check "CMake takes a later minor version" alone by_cmake_prefix "$tmp/next" 1.1

# --- one list of each -------------------------------------------------------------------------------------------------

functions_of_the_header() {
  cc -E -P -x c "$here/include/clerk_auth.h" | grep -oE '\bclerk_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u
}
the_symbols() {
  diff <(functions_of_the_header) tests/abi/symbols.txt &&
    diff <(nm -D --defined-only "$here/lib/libclerk_auth.so" | awk '{ print $3 }' | sort) tests/abi/symbols.txt
}
the_libraries() {
  local said makefile pc cmake config=$here/lib/cmake/clerk_auth/clerk_auth-config.cmake
  said=$(cargo rustc --release --jobs 2 --lib --crate-type staticlib -- --print native-static-libs 2>&1 |
    sed -n 's/^note: native-static-libs: //p')
  makefile=$(sed -n 's/^STATIC_LIBS := //p' Makefile)
  pc=$(sed -n 's/^Libs.private: //p' "$here/lib/pkgconfig/clerk-auth.pc")
  cmake=$(sed -n 's/.*INTERFACE_LINK_LIBRARIES "\(.*\)".*/-l\1/p' "$config" | sed 's/;/ -l/g')
  echo "rustc: $said"
  [ -n "$said" ] && same "$said" "$makefile" && same "$said" "$pc" && same "$said" "$cmake"
}
no_bitcode() {
  readelf -SW "$here/lib/libclerk_auth.a" > "$tmp/sections.txt" && grep -q '\.text' "$tmp/sections.txt" &&
    ! grep 'llvmbc\|llvmcmd\|debug_info' "$tmp/sections.txt"
}
check "functions of header, library and tests/abi/symbols.txt" the_symbols
check "libraries of rustc, Makefile, pkg-config and CMake" the_libraries
check "the archive holds neither bitcode nor debug information" no_bitcode

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
