//! The temporary patches that other people have on their installations.
//!
//! Their names are known from the field. What they change is made up, but for the kinds and for
//! [`OtherPatch::StoreAdminAutoTrain`], which is in IBM's guide for migrations.

use std::fmt;
use std::str::FromStr;

/// A temporary patch of other people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherPatch {
    /// `wa-store-assistant-limits`, a variable of the store.
    StoreAssistantLimits,
    /// `<instance>-add-custom-webhooks-cert`, a variable of the store and of store-admin.
    AddCustomWebhooksCert,
    /// `<instance>-fix-clu-certs`, operations (`patchJson6902`) on the Deployments of the `WatsonAssistantClu`.
    FixCluCerts,
    /// `wa-data-governor`, a variable of the UI.
    DataGovernor,
    /// `<instance>-store-admin-auto-train`, by which all models are trained every night.
    StoreAdminAutoTrain,
}

/// A patch was asked for that there is none of.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no patch {0:?}; the patches are store-assistant-limits, add-custom-webhooks-cert, fix-clu-certs, \
     data-governor and store-admin-auto-train"
)]
pub struct UnknownPatch(String);

impl OtherPatch {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::StoreAssistantLimits,
        Self::AddCustomWebhooksCert,
        Self::FixCluCerts,
        Self::DataGovernor,
        Self::StoreAdminAutoTrain,
    ];

    /// The end of its object's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::StoreAssistantLimits => "store-assistant-limits",
            Self::AddCustomWebhooksCert => "add-custom-webhooks-cert",
            Self::FixCluCerts => "fix-clu-certs",
            Self::DataGovernor => "data-governor",
            Self::StoreAdminAutoTrain => "store-admin-auto-train",
        }
    }
}

impl fmt::Display for OtherPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for OtherPatch {
    type Err = UnknownPatch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == text)
            .ok_or_else(|| UnknownPatch(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_read_as_it_is_shown_and_an_unknown_one_names_the_known() {
        for patch in OtherPatch::ALL {
            assert_eq!(patch.to_string().parse::<OtherPatch>().unwrap(), patch);
            let unknown = "certs".parse::<OtherPatch>().unwrap_err().to_string();
            assert!(unknown.contains(patch.name()), "{unknown}");
        }
    }
}
