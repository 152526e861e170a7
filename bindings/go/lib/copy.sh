#!/usr/bin/env bash
# Puts the static archive and the header of the staged tree (CLERK_STAGE) where the Go package links them from.
set -euo pipefail
cd "$(dirname "$0")"

stage=${CLERK_STAGE:-$(cd ../../.. && pwd)/build/stage}
case $(uname -sm) in
  'Linux x86_64') to=linux_amd64 ;;
  'Linux aarch64') to=linux_arm64 ;;
  *) echo "clerk-auth for Go: no place for an archive of $(uname -sm)" >&2; exit 1 ;;
esac
for file in lib/libclerk_auth.a include/clerk_auth.h; do
  [ -e "$stage/$file" ] || { echo "missing: $stage/$file; run \`make stage\`" >&2; exit 1; }
  # Only what differs: Go builds everything anew when a file changes.
  cmp -s "$stage/$file" "$to/${file##*/}" || cp "$stage/$file" "$to/"
done
