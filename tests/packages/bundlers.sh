# Sourced by run.sh: the package in what esbuild, webpack, Vite and Next.js build, with the lines of the README.

# The bundlers come from npm, the package is the packed one.
bundlers=$root/build/bundlers
bundler_project() {
  set -e
  export NEXT_TELEMETRY_DISABLED=1 CI=1
  mkdir -p "$bundlers"
  cp -r "$here"/bundlers/. "$bundlers/"
  cd "$bundlers"
  if ! cmp -s package.json installed.json; then
    npm install --silent --ignore-scripts --no-audit --no-fund --no-package-lock
    cp package.json installed.json
  fi
  local packed
  for packed in "$root"/build/npm/*.tgz; do
    local name=${packed##*/}
    rm -rf "node_modules/${name%-*.tgz}"
    mkdir "node_modules/${name%-*.tgz}"
    tar -xzf "$packed" -C "node_modules/${name%-*.tgz}" --strip-components 1
  done
  rm -rf dist .next
}
# is_clear COMMAND...: a bundle that contains the package, and not its addon, says so when it starts.
is_clear() {
  if CLERK_SECRET_KEY=sk_test_sim "$@" > error.txt 2>&1; then return 1; fi
  grep 'has an addon, which bundlers cannot include: mark the package as external' error.txt
}
with_esbuild() {
  bundler_project
  build() { node_modules/.bin/esbuild server.mjs --log-level=warning --bundle --platform=node "$@"; }
  build --format=esm --external:clerk-auth --outfile=dist/esbuild.mjs
  serves node dist/esbuild.mjs
  build --format=cjs --outfile=dist/bundled.cjs
  is_clear node dist/bundled.cjs
}
with_webpack() {
  bundler_project
  mkdir dist && echo '{"type": "commonjs"}' > dist/package.json
  node_modules/.bin/webpack --env out=webpack.js
  serves node dist/webpack.js
  node_modules/.bin/webpack --env out=bundled.js --env bundled
  is_clear node dist/bundled.js
}
with_vite() {
  bundler_project
  node_modules/.bin/vite build
  serves node dist/vite/server.js
}
# Builds without secrets; the server has them.
with_next() {
  bundler_project
  node_modules/.bin/next build
  local port
  port=$(node -e "const s = require('net').createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close(); })")
  CLERK_SECRET_KEY=sk_test_sim CLERK_API_URL=$api node_modules/.bin/next start --hostname 127.0.0.1 --port "$port" > next.txt 2>&1 &
  server=$!
  trap 'kill "$server"' EXIT
  for _ in $(seq 200); do grep -q Ready next.txt && break; sleep 0.1; done
  cat next.txt
  [ "$(curl -s -o body.txt -w '%{http_code}' -H "Authorization: Bearer $token" "http://127.0.0.1:$port/me")" = 200 ]
  grep user_1 body.txt
  [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/me")" = 401 ]
}

check "esbuild: an external package, and a clear error without" with_esbuild
check "webpack: the same" with_webpack
check "Vite SSR: an external package" with_vite
check "Next.js: next build without secrets, and next start" with_next
