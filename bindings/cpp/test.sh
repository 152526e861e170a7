#!/usr/bin/env bash
# All tests of the C++ binding. `make stage sim build/shared-cases.jsonl` first; needs cmake, pkg-config, a C++17
# compiler and Debian's libgtest-dev nlohmann-json3-dev libcpp-httplib-dev libssl-dev libboost-dev.
set -euo pipefail
cd "$(dirname "$0")/../.."

export CLERK_STAGE=${CLERK_STAGE:-$PWD/build/stage}
export CLERK_SIM=${CLERK_SIM:-$PWD/target/release/clerk-sim}
export CLERK_CASES=${CLERK_CASES:-$PWD/build/shared-cases.jsonl}
export CLERK_TMP=$PWD/build/cpp
export CLERK_CPP_STAGE=$CLERK_TMP/stage
export LD_LIBRARY_PATH=$CLERK_STAGE/lib CLERK_LOG=off

for tool in cmake make c++ cc pkg-config ldd flock timeout; do
  command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 1; }
done
for file in "$CLERK_STAGE/lib/libclerk_auth.so" "$CLERK_STAGE/lib/libclerk_auth.a" "$CLERK_SIM" "$CLERK_CASES"; do
  [ -s "$file" ] || { echo "missing: $file; run \`make stage sim build/shared-cases.jsonl\`" >&2; exit 1; }
done
for header in gtest/gtest.h nlohmann/json.hpp httplib.h boost/beast/http.hpp; do
  echo "#include <$header>" | c++ -std=c++17 -x c++ -fsyntax-only - 2> /dev/null || { echo "missing: <$header>" >&2; exit 1; }
done

mkdir -p "$CLERK_TMP"
# Two runs at once would share the build.
exec {turn}> "$CLERK_TMP/turn"
flock --wait 600 "$turn"

# A tree with the files of the C library's and this folder's install rules.
installed_tree() {
  rm -rf "$CLERK_CPP_STAGE"
  cp -a "$CLERK_STAGE" "$CLERK_CPP_STAGE"
  sed -i "s|$CLERK_STAGE|$CLERK_CPP_STAGE|g" "$CLERK_CPP_STAGE/lib/pkgconfig/clerk-auth.pc"
  cmake --install "$CLERK_TMP/tests" --prefix "$CLERK_CPP_STAGE" > "$CLERK_TMP/install.log"
  diff -r "$CLERK_STAGE/include" "$CLERK_CPP_STAGE/include"
}

build() {
  cmake -S bindings/cpp -B "$CLERK_TMP/tests" -DCLERK_AUTH_CPP_TESTS=ON -DCMAKE_PREFIX_PATH="$CLERK_STAGE" \
    -DCMAKE_INSTALL_LIBDIR=lib > "$CLERK_TMP/configure.log" 2>&1 || { tail -n 30 "$CLERK_TMP/configure.log"; return 1; }
  cmake --build "$CLERK_TMP/tests" -j2 > "$CLERK_TMP/build.log" 2>&1 || { grep -A 8 'error' "$CLERK_TMP/build.log" | head -n 60; return 1; }
}

echo "cpp: building"
build
echo "cpp: tests, under AddressSanitizer and UndefinedBehaviorSanitizer"
timeout 120 "$CLERK_TMP/tests/tests/clerk_auth_tests" --gtest_brief=1 {turn}>&-
echo "cpp: headers"
bindings/cpp/tests/headers.sh {turn}>&-
echo "cpp: a program in each supported way"
installed_tree
bindings/cpp/tests/use.sh {turn}>&-
echo "cpp: all passed"
