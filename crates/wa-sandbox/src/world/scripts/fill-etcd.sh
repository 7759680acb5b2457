# Around serve-etcd.sh, which is the argument, on a real cluster: fills the member when the pod first starts, with the
# workspaces and the user that it lets in.
set -euo pipefail
bash -c "$1" &
server=$!
trap 'kill $server' TERM
tls=/etc/etcdtls/operator/etcd-tls
client=(
  etcdctl --command-timeout=60s "--endpoints=https://$CLUSTER_NAME:2379"
  --cert=$tls/etcd-client.crt --key=$tls/etcd-client.key --cacert=$tls/etcd-client-ca.crt
)
filled=/var/lib/etcd/filled
if [ ! -e $filled ]; then
  until "${client[@]}" endpoint health >/dev/null 2>&1; do
    kill -0 $server
    sleep 1
  done
  "${client[@]}" txn </etc/practice/workspaces
  "${client[@]}" user add root --interactive=false </var/run/credentials/pass.key
  "${client[@]}" role add root
  "${client[@]}" user grant-role root root
  "${client[@]}" auth enable
  : >$filled
fi
wait $server
