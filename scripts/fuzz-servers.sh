#!/usr/bin/env bash
# Fuzzes the pure C files of the server modules, with AddressSanitizer: `scripts/fuzz-servers.sh SECONDS [SEED]`.
set -euo pipefail
cd "$(dirname "$0")/.."
nginx=bindings/nginx/src/ngx_http_clerk_auth apache=bindings/apache/src out=build/fuzz
mkdir -p "$out"
flags=(-std=gnu11 -g -O1 -Wall -Wextra -Werror -Wno-unused-function -fsanitize=address,undefined -fno-sanitize-recover=undefined)
# The guard of the module's own header is defined there, which stays empty.
${CC:-cc} "${flags[@]}" -include fuzz/nginx_types.h -o "$out/servers" fuzz/servers.c "$apache/names.c" "$apache/claims.c" "${nginx}_names.c" \
    "${nginx}_claim.c"
"$out/servers" "$@"
