//! `kubectl wa-retrain`, and the etcd that it counts in.

use std::process::Command;

use crate::{Outcome, World, binary, run};

impl World {
    /// `kubectl wa-retrain` with these arguments.
    pub fn retrain_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(binary("kubectl-wa-retrain"));
        command.args(arguments);
        command
    }

    /// The same, run.
    pub fn retrain(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.retrain_command(arguments))
    }

    /// Runs a shell script in the etcd pod, where `etcdctl` is a client that is let in as root.
    #[track_caller]
    pub fn in_etcd_pod(&self, script: &str) -> String {
        const CLIENT: &str = r#"
tls=/etc/etcdtls/operator/etcd-tls
password=$(cat /var/run/credentials/pass.key)
etcdctl() {
    command etcdctl --cert=$tls/etcd-client.crt --key=$tls/etcd-client.key --cacert=$tls/etcd-client-ca.crt \
        --endpoints="https://$CLUSTER_NAME:2379" --user="root:$password" --command-timeout=60s "$@"
}
"#;
        let pod = self.sandbox().names().etcd_pod();
        let script = format!("{CLIENT}\n{script}");
        self.kubectl(&["exec", &pod, "-c", "etcd", "--", "bash", "-ec", &script])
    }
}
