#!/usr/bin/env bash
# Installs the packages of build/deb into a Debian of its own (debootstrap, as root), compiles and runs the examples there, and removes
# the packages again. `make test-deb` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "debootstrap needs root" >&2; exit 1; }
PATH=$PATH:/usr/sbin
work=$(mktemp -d)
root=$work/root
# shellcheck disable=SC2329
clean() {
  umount "$root/proc" 2> /dev/null || true
  rm -rf "$work"
}
trap clean EXIT

# The mirror and the release of this machine.
. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,pkg-config,libsqlite3-dev,cmake,make,g++,lsb-base "$VERSION_CODENAME" "$root" "$mirror" \
  > "$work/debootstrap.txt" 2>&1 || { tail -n 20 "$work/debootstrap.txt" >&2; exit 1; }
mount -t proc proc "$root/proc"
run() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }

passed=0 failed=0
check() {
  local name=$1 status=0
  shift
  "$@" > "$work/output.txt" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($status)"
    tail -n 40 "$work/output.txt" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

files() { (cd "$root" && find usr etc -path 'usr/share/doc' -prune -o -name '*clerk*' -print | sort); }
install_packages() {
  cp build/deb/{libclerk-auth0,libclerk-auth-dev,clerk-auth}_*.deb "$root/tmp/" && run sh -c 'dpkg -i /tmp/*.deb'
}
compile() {
  cp -r examples "$root/root/examples" &&
    run sh -ec 'cd /root/examples; for source in *.c; do
      cc -Wall -Werror -o "${source%.c}" "$source" $(pkg-config --cflags --libs clerk-auth sqlite3) -lpthread; done'
}
compile_statically() {
  run sh -ec 'cd /root/examples && cc -static -o who-static who.c $(pkg-config --static --libs --cflags clerk-auth | sed s/-lclerk_auth/-l:libclerk_auth.a/) &&
    CLERK_SECRET_KEY=sk_test_none ./who-static none' | grep '^not signed in: '
}
compile_with_cmake() {
  mkdir -p "$root/root/cmake" && cat > "$root/root/cmake/CMakeLists.txt" << 'LIST' &&
cmake_minimum_required(VERSION 3.15)
project(example C)
find_package(clerk_auth 0.1 REQUIRED)
add_executable(who ../examples/who.c)
target_link_libraries(who clerk_auth::clerk_auth)
LIST
    run sh -ec 'cd /root/cmake && cmake -B build . && cmake --build build && ldd build/who | grep "/lib/.*libclerk_auth.so.0"'
}
explain() {
  run sh -c 'echo not.a.token | clerk-auth explain -; [ $? -eq 1 ]'
}
manual() { [ -s "$root/usr/share/man/man1/clerk-auth.1.gz" ]; }
authenticate() { # the demo of the repository, with the programs that were compiled in the other system
  DEMO=$root/root/examples/demo LD_LIBRARY_PATH=$(dirname "$root"/usr/lib/*/libclerk_auth.so.0) examples/demo.sh
}
remove() {
  run sh -c 'dpkg --purge clerk-auth libclerk-auth-dev libclerk-auth0' && diff <(files) "$work/before.txt"
}

files > "$work/before.txt"
check "packages are installed" install_packages
check "all examples are compiled with pkg-config" compile
check "a static program is linked" compile_statically
check "a program is built with CMake" compile_with_cmake
check "the command explains a token" explain
check "the manual page is installed" manual
check "an example authenticates requests" authenticate
check "no file is left after removal" remove
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
