# Runs the only member of the etcd cluster.
set -euo pipefail
address_of() { getent hosts "$1" | { read -r address _ && echo "$address"; }; }
if [ -n "${LISTEN_ON:-}" ]; then
  # On a real cluster the service's address is nobody's to listen on.
  clients=https://$LISTEN_ON:2379 peer=http://127.0.0.1:2380
else
  service=$(address_of "$CLUSTER_NAME")
  own=$(address_of "$(hostname)")
  clients=https://$service:2379,https://$own:2379 peer=http://$service:2380
fi
tls=/etc/etcdtls/member/server-tls
# A busy machine must not cost the only member its leadership: hence the long intervals. Large transactions, so that a test
# can put a million workspaces.
exec etcd \
  --name "$(hostname)" \
  --data-dir /var/lib/etcd/data \
  --listen-client-urls "$clients" \
  --advertise-client-urls "https://$(hostname).$CLUSTER_NAME.$NAMESPACE.svc.cluster.local:2379" \
  --listen-peer-urls "$peer" \
  --initial-advertise-peer-urls "$peer" \
  --initial-cluster "$(hostname)=$peer" \
  --cert-file $tls/server.crt --key-file $tls/server.key \
  --client-cert-auth --trusted-ca-file $tls/server-ca.crt \
  --max-txn-ops 10000 --heartbeat-interval 500 --election-timeout 5000 \
  --logger zap --log-level warn
