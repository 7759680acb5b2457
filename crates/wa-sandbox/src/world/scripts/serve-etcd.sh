# Runs the only member of the etcd cluster.
set -euo pipefail
address_of() { getent hosts "$1" | { read -r address _ && echo "$address"; }; }
service=$(address_of "$CLUSTER_NAME")
own=$(address_of "$(hostname)")
tls=/etc/etcdtls/member/server-tls
# A busy machine must not cost the only member its leadership: hence the long intervals. Large transactions, so that a test
# can put a million workspaces.
exec etcd \
  --name "$(hostname)" \
  --data-dir /var/lib/etcd/data \
  --listen-client-urls "https://$service:2379,https://$own:2379" \
  --advertise-client-urls "https://$(hostname).$CLUSTER_NAME.$NAMESPACE.svc.cluster.local:2379" \
  --listen-peer-urls "http://$service:2380" \
  --initial-advertise-peer-urls "http://$service:2380" \
  --initial-cluster "$(hostname)=http://$service:2380" \
  --cert-file $tls/server.crt --key-file $tls/server.key \
  --client-cert-auth --trusted-ca-file $tls/server-ca.crt \
  --max-txn-ops 10000 --heartbeat-interval 500 --election-timeout 5000 \
  --logger zap --log-level warn
