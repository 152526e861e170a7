#!/usr/bin/env bash
# Builds the Debian package of the module from a copy of this folder and the staged archive, checks it with lintian, and writes it
# to build/deb of the repository. `make deb` calls it.
set -euo pipefail
cd "$(dirname "$0")"

root=$(cd ../.. && pwd)
stage=${CLERK_STAGE:-$root/build/stage} out=$root/build/deb
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
for tool in dpkg-buildpackage dh_apache2 lintian; do
  command -v "$tool" > /dev/null || { echo "missing: $tool; install dpkg-dev, apache2-dev and lintian" >&2; exit 1; }
done

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/libapache2-mod-auth-clerk-$version
mkdir -p "$source/stage/lib" "$source/stage/include"
cp -r Makefile exports.map README.md examples src debian "$source/"
cp "$stage/lib/libclerk_auth.a" "$source/stage/lib/"
cp "$stage/include/clerk_auth.h" "$source/stage/include/"
grep -q "($version)" debian/changelog || { echo "debian/changelog does not begin with $version" >&2; exit 1; }

(cd "$source" && dpkg-buildpackage --build=binary --no-sign --jobs=1 > "$work/log.txt" 2>&1) || { tail -n 40 "$work/log.txt" >&2; exit 1; }
rm -f "$out"/libapache2-mod-auth-clerk*
cp "$work"/*.deb "$out/"
lintian --fail-on error --tag-display-limit 0 "$work"/*.changes
ls "$out"/libapache2-mod-auth-clerk_*.deb
