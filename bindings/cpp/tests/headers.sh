#!/usr/bin/env bash
# Each header by itself and twice, with and without exceptions and RTTI, in two standards, without a warning.
set -euo pipefail
cd "$(dirname "$0")/.."
stage=${CLERK_STAGE:?run test.sh}

check() {
  local header=$1 before='' includes
  shift
  case $header in
  clerk_auth/httplib.hpp) before='#include <httplib.h>' ;;
  clerk_auth/beast.hpp) before='#include <boost/beast/http.hpp>' ;;
  esac
  includes="$before
#include <$header>
#include <$header>"
  c++ -x c++ -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Werror \
    "$@" -Iinclude -isystem "$stage/include" - <<< "$includes" || { echo "FAIL $header $*"; return 1; }
}

count=0
cd include
for header in clerk_auth.hpp clerk_auth/*.hpp; do
  (cd .. && check "$header" -std=c++17)
  count=$((count + 1))
done
cd ..
check clerk_auth.hpp -std=c++17 -fno-exceptions -fno-rtti
check clerk_auth.hpp -std=c++20
check clerk_auth.hpp -std=c++20 -fno-exceptions
echo "ok $count headers by themselves, and without exceptions"
