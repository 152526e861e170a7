#!/usr/bin/env bash
# Runs the README's install as it is written, in a mount namespace of its own: what it writes to /usr/local and /etc is discarded.
# Needs root, and a library that is built.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${IN_NAMESPACE:-}" ]; then
  [ "$(id -u)" -eq 0 ] || { echo "left out: a mount namespace needs root"; [ "${CI:-}" != true ]; exit; }
  unshare --mount true 2> /dev/null || { echo "left out: this machine allows no mount namespace"; exit; }
  IN_NAMESPACE=yes exec unshare --mount --propagation private "$0"
fi

unset LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH MAKEFLAGS MFLAGS MAKELEVEL DESTDIR PREFIX LIBDIR
work=$(mktemp -d)
trap 'umount -l "$work" && rmdir "$work"' EXIT
mount -t tmpfs tmpfs "$work" # an overlay needs a file system that is none itself
for folder in usr/local etc; do
  mkdir -p "$work/upper/$folder" "$work/scratch/$folder"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$work/upper/$folder,workdir=$work/scratch/$folder" "/$folder"
done
if [ -e /usr/local/include/clerk_auth.h ]; then make --no-print-directory uninstall; fi

# The first program of the README, and the commands below it.
sed -n '/^```c$/,/^```$/p' README.md | sed '1d;/^```$/,$d' > "$work/who.c"
sed -n '/^## Quick start/,/^## /p' README.md | sed -n 's/^    \(make install\|ldconfig\|cc \|\.\/who\)/\1/p' > "$work/commands.txt"
[ "$(wc -l < "$work/commands.txt")" -eq 4 ] || { echo "the README's commands:"; cat "$work/commands.txt"; exit 1; }
here=$PWD
while read -r line; do
  echo "$ $line"
  case $line in make*) folder=$here;; *) folder=$work;; esac
  (cd "$folder" && CLERK_SECRET_KEY=sk_test_none bash -ec "$line") > "$work/output.txt" 2>&1 || { cat "$work/output.txt"; exit 1; }
done < <(sed 's/ *#.*//' "$work/commands.txt")
grep '^not signed in: ' "$work/output.txt"
make --no-print-directory uninstall > /dev/null
left=$(find "$work/upper/usr/local" -type f)
[ -z "$left" ] || { echo "left after make uninstall: $left"; exit 1; }
echo "ok the README's install"
