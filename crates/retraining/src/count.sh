# Prints, as JSON, how many keys there are under a prefix, counted on the etcd server: no more than one key is sent.
#
#   sh SCRIPT PREFIX SERVICE NAMESPACE
#
# All that etcdctl is told stands in its environment: its arguments show in the process list, and clash with variables of
# the pod that mean the same. ENDPOINTS is empty where the release does not publish them. The user's password follows its
# name in one variable, which every etcdctl knows; one of its own is reported, with its value, by those that do not.
prefix=$1 service=$2 namespace=$3
password=$(cat /var/run/credentials/pass.key) || exit
tls=/etc/etcdtls/operator/etcd-tls
unset ETCDCTL_PASSWORD ETCDCTL_DEBUG ETCDCTL_WRITE_OUT ETCDCTL_INSECURE_SKIP_TLS_VERIFY
export ETCDCTL_API=3 ETCDCTL_USER="root:$password" ETCDCTL_COMMAND_TIMEOUT=30s
export ETCDCTL_CERT=$tls/etcd-client.crt ETCDCTL_KEY=$tls/etcd-client.key ETCDCTL_CACERT=$tls/etcd-client-ca.crt
export ETCDCTL_ENDPOINTS="${ENDPOINTS:-https://$(hostname).${CLUSTER_NAME:-$service}.$namespace.svc.cluster.local:2379}"
etcdctl get --prefix "$prefix" --keys-only --limit=1 --write-out=json
