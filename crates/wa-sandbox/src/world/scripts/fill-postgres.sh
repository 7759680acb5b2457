# Before serve-postgres.sh on a real cluster: makes the database when the pod first starts, and fills it. A half filled one
# is begun anew.
set -euo pipefail
filled=${PGDATA%/*}/filled
if [ ! -e "$filled" ]; then
  rm -rf "$PGDATA"
  initdb --username=postgres --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  # Where no probe looks: the pod is not ready before it is filled.
  socket=/controller/filling
  mkdir -p $socket
  pg_ctl --silent --wait -o "-c listen_addresses= -c unix_socket_directories=$socket" start
  psql --host=$socket --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres --file=/etc/practice/store.sql
  pg_ctl --silent --wait stop
  : >"$filled"
fi
