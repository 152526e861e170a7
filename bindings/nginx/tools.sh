#!/usr/bin/env bash
# Installs what the nginx module and its tests need and what is missing, with apt when root; otherwise says what to install.
# tools.sh [PACKAGE]... installs these, too.
set -euo pipefail

missing=()
command -v nginx > /dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx)
[ -x /usr/share/nginx/src/configure ] || missing+=(nginx-dev)
command -v cc > /dev/null || missing+=(gcc)
command -v python3 > /dev/null || missing+=(python3)
command -v curl > /dev/null || missing+=(curl)
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  echo "missing, please install: ${missing[*]}" >&2
  exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
