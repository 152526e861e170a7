#!/usr/bin/env bash
# Builds a program in each way that the README describes, and runs it. test.sh sets the paths.
set -euo pipefail
tree=$(cd "$(dirname "$0")/../../.." && pwd)
out=${CLERK_TMP:?run test.sh}/use
sim=${CLERK_SIM:?run test.sh}
installed=${CLERK_CPP_STAGE:?run test.sh}

CLERK_JWT_KEY=$("$sim" key --name k1 --form pem)
export CLERK_JWT_KEY
token=$("$sim" mint --user user_1 --exp-in 600)

# NAME PROGRAM: prints the user of a valid token, and rejects an invalid one.
runs() {
  local said
  said=$("$2" "Bearer $token")
  [ "$said" = user_1 ] || { echo "FAIL $1: said '$said'"; return 1; }
  said=$("$2" "Bearer ${token%???}AAA") && { echo "FAIL $1: let a bad signature in"; return 1; }
  [ "$said" = "not signed in: token-invalid-signature" ] || { echo "FAIL $1: said '$said'"; return 1; }
  echo "ok $1"
}

# NAME CMAKE-OPTION...
cmake_use() {
  local name=$1 log=$out/$1.log
  shift
  mkdir -p "$out"
  if ! { cmake -S "$tree/bindings/cpp/tests/use" -B "$out/$name" -DTREE="$tree" "$@" &&
    cmake --build "$out/$name" -j2; } > "$log" 2>&1; then
    echo "FAIL $name"
    tail -n 30 "$log"
    return 1
  fi
  runs "$name" "$out/$name/use"
}

unset CMAKE_PREFIX_PATH
# Shared libraries must be found at run time without further settings.
unset LD_LIBRARY_PATH
cmake_use find_package -DHOW=find_package -DLINK=clerk_auth::cpp -DCMAKE_PREFIX_PATH="$installed"
cmake_use find_package-static -DHOW=find_package -DLINK=clerk_auth::cpp_static -DCMAKE_PREFIX_PATH="$installed"
cmake_use add_subdirectory-installed -DHOW=add_subdirectory -DLINK=clerk_auth::cpp -DCMAKE_PREFIX_PATH="$installed"
cmake_use add_subdirectory-source -DHOW=add_subdirectory -DLINK=clerk_auth::cpp -DCMAKE_DISABLE_FIND_PACKAGE_clerk_auth=ON
cmake_use FetchContent-source -DHOW=FetchContent -DLINK=clerk_auth::cpp -DCMAKE_DISABLE_FIND_PACKAGE_clerk_auth=ON \
  -DFETCHCONTENT_FULLY_DISCONNECTED=ON -DFETCHCONTENT_SOURCE_DIR_CLERK_AUTH="$tree"

export PKG_CONFIG_PATH=$installed/lib/pkgconfig
read -ra flags <<< "$(pkg-config --cflags --libs clerk-auth)"
c++ -std=c++17 "$tree/bindings/cpp/examples/who.cpp" "${flags[@]}" "-Wl,-rpath,$installed/lib" -o "$out/pkg-config"
runs pkg-config "$out/pkg-config"

# No program may be linked with other libraries.
for name in find_package-static add_subdirectory-source FetchContent-source; do
  ldd "$out/$name/use" | grep -q libclerk_auth && { echo "FAIL $name: needs the shared library"; exit 1; }
done
ldd "$out/find_package/use" | grep -q "libclerk_auth.so.0 => $installed" || { echo "FAIL find_package: another library"; exit 1; }
