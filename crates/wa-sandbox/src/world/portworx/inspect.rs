//! How `pxctl` shows volumes, as text and as JSON.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::volumes::{Refusal, Sharing, Volume};
use super::{Member, Portworx};

impl Portworx {
    /// `pxctl volume inspect`.
    pub(super) fn inspect(&self, volumes: &[String], json: bool) -> Result<String, Refusal> {
        let volumes: Vec<_> = volumes
            .iter()
            .map(|volume| self.volume(volume))
            .collect::<Result<_, _>>()?;
        if json {
            return Ok(array(volumes.iter().map(|volume| self.describe(volume))));
        }
        Ok(volumes.iter().map(|volume| self.text(volume)).collect())
    }

    /// `pxctl volume list`.
    pub(super) fn list(&self, json: bool) -> String {
        let volumes = self.volumes();
        if json {
            return array(volumes.iter().map(|volume| self.describe(volume)));
        }
        let mut text =
            "ID\tNAME\tSIZE\tHA\tSHARED\tENCRYPTED\tPROXY-VOLUME\tIO_PRIORITY\tSTATUS\tSNAP-ENABLED\n"
                .to_owned();
        for volume in &volumes {
            let status = match self.in_use(&volume.name) {
                Some(in_use) => format!("up - attached on {}", self.address(&in_use.node)),
                None => "up - detached".to_owned(),
            };
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{}\t{}\t{} GiB\t{}\t{}\t{}\tno\t{}\t{status}\tno",
                volume.id,
                volume.name,
                volume.size_bytes >> 30,
                volume.replicas,
                shared(volume),
                yes_or_no(self.state().is_encrypted(volume)),
                volume.priority.to_uppercase(),
            );
        }
        text
    }

    /// `pxctl status`.
    pub(super) fn status(&self, node: &str) -> String {
        let members = self.members();
        let own = members
            .iter()
            .find(|(name, _)| name == node)
            .map_or("", |(_, member)| &member.id);
        let mut text = format!(
            "Status: PX is operational\nNode ID: {own}\n\tIP: {} \nCluster Summary\n\tIP\tID\tSchedulerNodeName\tStatus\n",
            self.address(node)
        );
        for (name, member) in &members {
            let status = match (member.is_down, name == node) {
                (true, _) => "Offline",
                (false, true) => "Online\tUp (This node)",
                (false, false) => "Online\tUp",
            };
            let _ = writeln!(
                text,
                "\t{}\t{}\t{name}\t{status}",
                self.address(name),
                member.id
            );
        }
        text
    }

    fn describe(&self, volume: &Volume) -> Value {
        let encrypted = self.state().is_encrypted(volume);
        let in_use = self.in_use(&volume.name);
        let (namespace, claim) = &volume.claim;
        let labels = json!({ "namespace": namespace, "pvc": claim });
        let mut described = json!({
            "id": volume.id,
            "source": { "parent": "", "seed": "" },
            "readonly": false,
            "locator": { "name": volume.name, "volume_labels": labels },
            "ctime": volume.created,
            "spec": {
                "ephemeral": false,
                "size": volume.size_bytes.to_string(),
                "format": volume.format,
                "block_size": "4096",
                "ha_level": volume.replicas.to_string(),
                "cos": volume.priority,
                "io_profile": "db_remote",
                "dedupe": false,
                "snapshot_interval": 0,
                "volume_labels": labels,
                "shared": volume.sharing == Sharing::V1,
                "aggregation_level": 1,
                "encrypted": encrypted,
                "passphrase": "",
                "snapshot_schedule": "",
                "scale": 0,
                "sticky": false,
                "group_enforced": false,
                "compressed": false,
                "cascaded": false,
                "journal": false,
                "sharedv4": volume.sharing == Sharing::V4,
            },
            "usage": "0",
            "last_scan": volume.created,
            "format": volume.format,
            "status": "up",
            "state": "detached",
            "attached_on": "",
            "attached_state": "ATTACH_STATE_INTERNAL_SWITCH",
            "device_path": "",
            "secure_device_path": "",
            "replica_sets": [{ "nodes": self.replicas(volume).iter().map(|(_, member)| &member.id).collect::<Vec<_>>() }],
            "error": "",
        });
        if let Some(in_use) = in_use {
            described["state"] = "attached".into();
            described["attached_on"] = self.id(&in_use.node).into();
            described["attached_state"] = "ATTACH_STATE_EXTERNAL".into();
            described["device_path"] = volume.device().into();
            if encrypted {
                described["secure_device_path"] = secure_device(volume).into();
            }
            if !in_use.paths.is_empty() {
                described["attach_path"] = in_use.paths.into();
            }
        }
        described
    }

    fn text(&self, volume: &Volume) -> String {
        let in_use = self.in_use(&volume.name);
        let created = volume.created.parse::<Timestamp>().map_or_else(
            |_| volume.created.clone(),
            |time| time.strftime("%b %-d %H:%M:%S UTC %Y").to_string(),
        );
        let mut lines = vec![
            ("Name", volume.name.clone()),
            ("Size", format!("{} GiB", volume.size_bytes >> 30)),
            ("Format", volume.format.clone()),
            ("HA", volume.replicas.to_string()),
            ("IO Priority", volume.priority.to_uppercase()),
            ("Creation time", created),
            ("Shared", shared(volume).to_owned()),
            ("Status", "up".to_owned()),
        ];
        match &in_use {
            None => lines.push(("State", "detached".to_owned())),
            Some(in_use) => {
                let (id, address) = (self.id(&in_use.node), self.address(&in_use.node));
                lines.push(("State", format!("Attached: {id} ({address})")));
                lines.push(("Device Path", volume.device()));
                if !in_use.paths.is_empty() {
                    lines.push(("Mount Paths", in_use.paths.join(", ")));
                }
            }
        }
        if self.state().is_encrypted(volume) {
            lines.push(("Attributes", "encrypted".to_owned()));
        }
        let mut text = format!("Volume\t:  {}\n", volume.id);
        for (name, value) in lines {
            let _ = writeln!(text, "\t{name:<17}\t :  {value}");
        }
        text.push_str("\tReplica sets on nodes:\n\t\tSet 0\n");
        for (name, _) in self.replicas(volume) {
            let _ = writeln!(text, "\t\t  Node \t\t : {}", self.address(&name));
        }
        text
    }

    /// The nodes that hold a copy of the volume.
    fn replicas(&self, volume: &Volume) -> Vec<(String, Member)> {
        let mut members = self.members();
        members.truncate(volume.replicas);
        members
    }

    fn id(&self, node: &str) -> String {
        self.state().member(node).id.clone()
    }

    fn address(&self, node: &str) -> String {
        let node = self
            .0
            .store
            .get(&kube_sandbox::meta::resources::NODES, "", node);
        node.ok()
            .and_then(|node| {
                node["status"]["addresses"][0]["address"]
                    .as_str()
                    .map(str::to_owned)
            })
            .unwrap_or_default()
    }
}

/// Every volume in one array, also when there is one only.
fn array(volumes: impl Iterator<Item = Value>) -> String {
    let volumes: Value = volumes.collect();
    format!("{volumes:#}\n")
}

pub(super) fn secure_device(volume: &Volume) -> String {
    format!("/dev/mapper/pxd-enc{}", volume.id)
}

fn shared(volume: &Volume) -> &'static str {
    match volume.sharing {
        Sharing::V4 => "v4",
        Sharing::V1 => "yes",
        Sharing::No => "no",
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
