# Runs PostgreSQL in the primary's pod, under the process 1 that PROCESS_ONE names. Fast and forgetful: nobody's data
# depends on it.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username=postgres --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    >/dev/null
fi
printf '%s\n' 'local all all peer' 'hostssl all all 0.0.0.0/0 scram-sha-256' >"$PGDATA/pg_hba.conf"
# A killed pod leaves its lock behind, and the next one's process may have the same number.
rm -f "$PGDATA/postmaster.pid"
mkdir -p /controller/run
# Without fsync: what is committed outlives the server's processes, as on a real node, but not the machine.
server=(
  postgres
  -c listen_addresses="${LISTEN_ON:-$CLUSTER_NAME-rw}"
  -c unix_socket_directories=/controller/run
  -c ssl=on
  -c ssl_cert_file=/etc/server-certificate/tls.crt
  -c ssl_key_file=/etc/server-certificate/tls.key
  -c password_encryption=scram-sha-256
  -c max_connections=50
  -c shared_buffers=64MB
  -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB
  -c fsync=off -c full_page_writes=off
  -c dynamic_shared_memory_type=mmap
)
case $PROCESS_ONE in
  postgres) exec "${server[@]}" ;;
  shell) exec sh -c '"$@" & trap "kill $!" TERM; wait $!; wait $!' sh "${server[@]}" ;;
  init)
    "${server[@]}" &
    trap "kill $!" TERM
    # The shell reaps every child that ends, known or not.
    while kill -0 $!; do wait -n || :; done
    ;;
  instance-manager)
    "${server[@]}" &
    # Never waits for anything.
    exec sleep infinity
    ;;
esac
