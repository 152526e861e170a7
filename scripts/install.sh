#!/usr/bin/env bash
# install.sh install|uninstall: what `make install` and `make uninstall` do once the library is built. From the environment:
# PREFIX, LIBDIR, DESTDIR, OUT (folder of the built library), VERSION, STATIC_LIBS. Relative paths are taken from here.
set -euo pipefail
cd "$(dirname "$0")/.."
# The modes of what is installed do not depend on the caller's umask.
umask 022

fail() { echo "make ${action}: $*" >&2; exit 1; }
action=${1:?install or uninstall}
[ -n "$PREFIX" ] || fail "PREFIX is empty; PREFIX=/ is the root of the file system"
[ -n "$LIBDIR" ] || fail "LIBDIR is empty"
absolute() { local path; case $1 in /*) path=$1;; *) path=$PWD/$1;; esac; realpath -ms -- "$path"; }
prefix=$(absolute "$PREFIX") libdir=$(absolute "$LIBDIR") root=
[ -z "${DESTDIR:-}" ] || root=$(absolute "$DESTDIR")
[ "$prefix" != / ] || prefix=
include=$root$prefix/include lib=$root$libdir doc=$root$prefix/share/doc/clerk-auth

# Only what can be created is checked: root may write anywhere, except where nobody can.
writable() {
  local folder=$1
  while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
  [ -d "$folder" ] || fail "$folder is not a folder"
  [ -w "$folder" ] || fail "$folder is not writable; use another PREFIX, or become root"
}

uninstall() {
  local name folder
  rm -f "$include"/clerk_auth.{h,hpp} "$lib"/libclerk_auth.{a,so,so.0} "$lib"/libclerk_auth.so.[0-9]*.[0-9]*.[0-9]* \
    "$lib/pkgconfig/clerk-auth.pc"
  rm -rf "$include/clerk_auth" "$lib/cmake/clerk_auth" "$doc"
  for folder in "$lib/cmake" "$lib/pkgconfig" "$root$prefix/share/doc"; do
    [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder"
  done
}

fill() {
  local text
  text=$(< "$1")
  text=${text//@PREFIX@/"$prefix"} text=${text//@LIBDIR@/"$libdir"} text=${text//@VERSION@/"$VERSION"}
  text=${text//@STATIC_LIBS@/"$STATIC_LIBS"}
  text=${text//@CMAKE_STATIC_LIBS@/"$(sed 's/^ *-l//; s/ *$//; s/ *-l/;/g' <<< "$STATIC_LIBS")"}
  printf '%s\n' "$text" > "$2"
  chmod 644 "$2"
}

install_all() {
  writable "$include"
  writable "$lib"
  # A header that an earlier version had would stay beside the new ones.
  uninstall
  mkdir -p "$include/clerk_auth" "$lib/pkgconfig" "$lib/cmake/clerk_auth" "$doc" || fail "the folders cannot be made"
  install -m 644 include/clerk_auth.h bindings/cpp/include/clerk_auth.hpp "$include/"
  install -m 644 bindings/cpp/include/clerk_auth/*.hpp "$include/clerk_auth/"
  install -m 644 bindings/cpp/cmake/clerk_auth-cpp.cmake "$lib/cmake/clerk_auth/"
  install -m 755 "$OUT/libclerk_auth.so.0" "$lib/libclerk_auth.so.$VERSION"
  ln -sfn "libclerk_auth.so.$VERSION" "$lib/libclerk_auth.so.0"
  ln -sfn libclerk_auth.so.0 "$lib/libclerk_auth.so"
  install -m 644 "$OUT/libclerk_auth.a" "$lib/"
  fill clerk-auth.pc.in "$lib/pkgconfig/clerk-auth.pc"
  fill cmake/clerk_auth-config.cmake.in "$lib/cmake/clerk_auth/clerk_auth-config.cmake"
  fill cmake/clerk_auth-config-version.cmake.in "$lib/cmake/clerk_auth/clerk_auth-config-version.cmake"
  install -m 644 README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT THIRD-PARTY-LICENSES "$doc/"
}

# Says how programs find the library, if the dynamic loader does not look there.
loader_hint() {
  [ -z "$root" ] && command -v ldconfig > /dev/null || return 0
  if ldconfig -N -X -v 2> /dev/null | grep -q "^$libdir:"; then
    ldconfig -p | grep -q "$libdir/libclerk_auth.so.0" || echo "run ldconfig (as root) so that programs find $libdir/libclerk_auth.so.0"
  else
    echo "the dynamic loader does not look in $libdir: set LD_LIBRARY_PATH, link with -Wl,-rpath,$libdir, or add it to /etc/ld.so.conf.d and run ldconfig"
  fi
}

case $action in
  install) install_all; [ -n "${QUIET:-}" ] || loader_hint ;;
  uninstall) writable "$include"; writable "$lib"; uninstall ;;
  *) fail "unknown" ;;
esac
