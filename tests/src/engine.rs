//! What tests need that call the engines themselves.

use std::sync::{Arc, LazyLock};

use tokio::runtime::Runtime;
use wa_common::cluster::{Cluster, ConnectionOptions};
use wa_common::report::{Event, Reporter};

use crate::World;

/// Whom nobody listens to.
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}

impl World {
    /// The practice cluster as an engine sees it.
    pub fn cluster(&self) -> Cluster {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = ConnectionOptions {
            kubeconfig: Some(self.sandbox().kubeconfig().to_owned()),
            ..ConnectionOptions::default()
        };
        Cluster::connect(&options, "test/0", Arc::new(Silent)).unwrap()
    }
}

/// Does the work on the one runtime of this process: a client works only on the one that it was made on.
pub fn wait_for<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    });
    RUNTIME.block_on(work)
}
