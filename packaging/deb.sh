#!/usr/bin/env bash
# Builds the Debian packages libclerk-auth0, libclerk-auth-dev and clerk-auth of what `make lib tool` has built, checks them with lintian,
# and writes them to build/deb. `make deb` calls it. From the environment: TARGET (folder of the command), VERSION, STATIC_LIBS.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/build/deb
for tool in dpkg-buildpackage dh lintian; do
  command -v "$tool" > /dev/null || { echo "missing: $tool; install dpkg-dev, debhelper and lintian" >&2; exit 1; }
done
[ "$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)" = "$VERSION" ] || {
  echo "packaging/debian/changelog does not begin with $VERSION" >&2
  exit 1
}

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/clerk-auth-$VERSION
mkdir -p "$source/bindings/cpp" "$source/scripts" "$source/built"
cp -r include cmake examples README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT THIRD-PARTY-LICENSES ./*.in "$source/"
cp -r packaging/debian "$source/debian"
cp -r bindings/cpp/include bindings/cpp/cmake "$source/bindings/cpp/"
cp scripts/install.sh "$source/scripts/"
cp build/libclerk_auth.so.0 build/libclerk_auth.a "$TARGET/clerk-auth" "$source/built/"
strip --strip-unneeded "$source/built/clerk-auth"
"$TARGET/clerk-auth" man > "$source/built/clerk-auth.1"
for shell in bash zsh fish; do "$TARGET/clerk-auth" completions "$shell" > "$source/built/completions.$shell"; done

(cd "$source" && dpkg-buildpackage --build=binary --no-sign --jobs=1 > "$work/log.txt" 2>&1) || { tail -n 40 "$work/log.txt" >&2; exit 1; }
rm -f "$out"/{libclerk-auth0,libclerk-auth-dev,clerk-auth}_*
cp "$work"/*.deb "$out/"
# Reported and accepted: the packages close no bug of Debian.
lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --tag-display-limit 0 "$work"/*.changes
ls "$out"/{libclerk-auth0,libclerk-auth-dev,clerk-auth}_*.deb
