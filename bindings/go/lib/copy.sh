#!/usr/bin/env bash
# Copies the static archive and the header from the staged tree (CLERK_STAGE) to where the Go package links them.
set -euo pipefail
cd "$(dirname "$0")"

stage=${CLERK_STAGE:-$(cd ../../.. && pwd)/build/stage}
case $(uname -sm) in
  'Linux x86_64') to=linux_amd64 ;;
  'Linux aarch64') to=linux_arm64 ;;
  *) echo "clerk-auth for Go: unsupported platform $(uname -sm)" >&2; exit 1 ;;
esac
for file in lib/libclerk_auth.a include/clerk_auth.h; do
  [ -e "$stage/$file" ] || { echo "missing: $stage/$file; run \`make stage\`" >&2; exit 1; }
  # Only changed files: Go rebuilds everything when one changes.
  cmp -s "$stage/$file" "$to/${file##*/}" || cp "$stage/$file" "$to/"
done
