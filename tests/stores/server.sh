#!/usr/bin/env bash
# server.sh postgres|mariadb create|start|stop: a server in STORES_WORK, as an ordinary user, on the port in its file there. `stop` ends
# it as a crash does: nothing is flushed, and connections are cut.
set -euo pipefail
name=$1 action=$2
data=$STORES_WORK/$name log=$STORES_WORK/$name.log
PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)/usr/sbin

# as USER COMMAND...: the servers refuse to run as root.
as() {
  local user=$1
  shift
  if [ "$(id -u)" -eq 0 ]; then setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"; else "$@"; fi
}
folder() {
  mkdir "$data"
  touch "$log"
  if [ "$(id -u)" -eq 0 ]; then chown "$1" "$data" "$log"; fi
}

case $name-$action in
  postgres-create)
    folder postgres
    as postgres initdb --pgdata "$data" --auth trust --username test --no-sync > /dev/null
    ;;
  postgres-start)
    as postgres pg_ctl -D "$data" -l "$log" -w -s start -o \
      "-p $(cat "$STORES_WORK/postgres.port") -h 127.0.0.1 -k $data -c fsync=off -c max_connections=200"
    ;;
  postgres-stop)
    [ ! -e "$data/postmaster.pid" ] || as postgres pg_ctl -D "$data" -m immediate -w -s stop
    ;;
  mariadb-create)
    folder mysql
    as mysql mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db > /dev/null
    ;;
  mariadb-start)
    as mysql setsid mariadbd --no-defaults --datadir="$data" --port="$(cat "$STORES_WORK/mariadb.port")" --bind-address=127.0.0.1 \
      --socket="$data/socket" --pid-file="$data/pid" --innodb-flush-log-at-trx-commit=2 > "$log" 2>&1 < /dev/null &
    for _ in $(seq 300); do
      if mariadb --no-defaults --user root --socket "$data/socket" --execute 'SELECT 1' > /dev/null 2>&1; then exit 0; fi
      kill -0 $! 2> /dev/null || exit 1
      sleep 0.1
    done
    exit 1
    ;;
  mariadb-stop)
    if [ -s "$data/pid" ]; then
      pid=$(cat "$data/pid")
      kill -9 "$pid" 2> /dev/null || true
      while kill -0 "$pid" 2> /dev/null; do sleep 0.02; done
      rm -f "$data/pid"
    fi
    ;;
  *)
    echo "server.sh postgres|mariadb create|start|stop" >&2
    exit 2
    ;;
esac
