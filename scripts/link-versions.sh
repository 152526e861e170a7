#!/usr/bin/env bash
# Links the shared library with symbol versions, which the list of exported symbols that rustc passes does not have: a program that was
# linked with a library of another major ABI version fails to start, with a message that names the version.
set -eu
for argument in "$@"; do
  case $argument in
    -Wl,--version-script=*) sed -i '1s/^{/CLERK_0 {/' "${argument#-Wl,--version-script=}" ;;
  esac
done
exec "${CC:-cc}" "$@"
