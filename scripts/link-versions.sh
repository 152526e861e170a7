#!/usr/bin/env bash
# Links the shared library with symbol versions, which the list of exported symbols that rustc passes does not have: functions of another
# major ABI version are other symbols.
set -eu
for argument in "$@"; do
  case $argument in
    -Wl,--version-script=*) sed -i '1s/^{/CLERK_0 {/' "${argument#-Wl,--version-script=}" ;;
  esac
done
exec "${CC:-cc}" "$@"
