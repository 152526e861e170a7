#!/usr/bin/env bash
# install.sh install|install-tool|uninstall: what `make` does for these targets once library and command are built. From the
# environment: PREFIX, LIBDIR, DESTDIR, OUT (folder of the built library), TARGET (folder of the command), VERSION, STATIC_LIBS.
# Relative paths are taken from here.
set -euo pipefail
cd "$(dirname "$0")/.."
# The modes of what is installed do not depend on the caller's umask.
umask 022

fail() { echo "make ${action}: $*" >&2; exit 1; }
action=${1:?install, install-tool or uninstall}
# pkg-config, CMake and the shells that read their output take these for syntax.
case $PREFIX$LIBDIR${DESTDIR:-} in
  *[\"\'\`\$\;\\\#\&\(\)\<\>\|\*\?\[]* | *$'\n'*) fail "PREFIX, LIBDIR and DESTDIR cannot contain quotes, backslashes or any of \$ ; # & ( ) < > | * ? [" ;;
esac
[ -n "${PREFIX// /}" ] || fail "PREFIX is empty; PREFIX=/ is the root of the file system"
[ -n "${LIBDIR// /}" ] || fail "LIBDIR is empty"
absolute() { local path; case $1 in /*) path=$1;; *) path=$PWD/$1;; esac; realpath -ms -- "$path"; }
prefix=$(absolute "$PREFIX") libdir=$(absolute "$LIBDIR") root=
[ -z "${DESTDIR:-}" ] || root=$(absolute "$DESTDIR")
[ "$prefix" != / ] || prefix=
include=$root$prefix/include lib=$root$libdir doc=$root$prefix/share/doc/clerk-auth
bin=$root$prefix/bin man=$root$prefix/share/man/man1
documents=(README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT THIRD-PARTY-LICENSES)

# Only what can be created is checked: root may write anywhere, except where nobody can.
writable() {
  local folder=$1
  while [ ! -e "$folder" ]; do folder=$(dirname "$folder"); done
  [ -d "$folder" ] || fail "$folder is not a folder"
  [ -w "$folder" ] || fail "$folder is not writable; use another PREFIX, or become root"
}

# make_folders FOLDER...
make_folders() {
  local error
  error=$(mkdir -p "$@" 2>&1) || fail "${error%%$'\n'*}"
}

# Removes the library, files of earlier versions as well, and keeps what others have put beside it.
uninstall() {
  local folder
  rm -f "$include"/clerk_auth.{h,hpp} "$include"/clerk_auth/*.hpp "$lib"/libclerk_auth.{a,so,so.0} \
    "$lib"/libclerk_auth.so.[0-9]*.[0-9]*.[0-9]* "$lib/pkgconfig/clerk-auth.pc" "$lib"/cmake/clerk_auth/clerk_auth-*.cmake \
    "${documents[@]/#/"$doc/"}"
  for folder in "$include/clerk_auth" "$lib/cmake/clerk_auth" "$lib/cmake" "$lib/pkgconfig" "$doc" "$root$prefix/share/doc"; do
    [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder"
  done
}

# fill TEMPLATE FILE ESCAPE: ESCAPE is what stands before a blank in a path.
fill() {
  local text
  text=$(< "$1")
  text=${text//@PREFIX@/"${prefix// /"$3 "}"} text=${text//@LIBDIR@/"${libdir// /"$3 "}"} text=${text//@VERSION@/"$VERSION"}
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
  make_folders "$include/clerk_auth" "$lib/pkgconfig" "$lib/cmake/clerk_auth" "$doc"
  install -m 644 include/clerk_auth.h bindings/cpp/include/clerk_auth.hpp "$include/"
  install -m 644 bindings/cpp/include/clerk_auth/*.hpp "$include/clerk_auth/"
  install -m 644 bindings/cpp/cmake/clerk_auth-cpp.cmake "$lib/cmake/clerk_auth/"
  install -m 755 "$OUT/libclerk_auth.so.0" "$lib/libclerk_auth.so.$VERSION"
  ln -sfn "libclerk_auth.so.$VERSION" "$lib/libclerk_auth.so.0"
  ln -sfn libclerk_auth.so.0 "$lib/libclerk_auth.so"
  install -m 644 "$OUT/libclerk_auth.a" "$lib/"
  fill clerk-auth.pc.in "$lib/pkgconfig/clerk-auth.pc" '\'
  fill cmake/clerk_auth-config.cmake.in "$lib/cmake/clerk_auth/clerk_auth-config.cmake" ''
  fill cmake/clerk_auth-config-version.cmake.in "$lib/cmake/clerk_auth/clerk_auth-config-version.cmake" ''
  install -m 644 "${documents[@]}" "$doc/"
}

install_tool() {
  writable "$bin"
  writable "$man"
  make_folders "$bin" "$man"
  install -m 755 "$TARGET/clerk-auth" "$bin/"
  "$TARGET/clerk-auth" man > "$OUT/clerk-auth.1"
  install -m 644 "$OUT/clerk-auth.1" "$man/"
}

uninstall_tool() {
  rm -f "$bin/clerk-auth" "$man/clerk-auth.1"
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
  install-tool) install_tool ;;
  uninstall) writable "$include"; writable "$lib"; uninstall; uninstall_tool ;;
  *) fail "unknown" ;;
esac
