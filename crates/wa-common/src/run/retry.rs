//! What a run takes for an API server that is away.

use std::error::Error;

use super::objects::DeletionError;
use crate::cluster;

pub(super) use crate::cluster::RetryBudget;

/// What the error of an undo says, where it or one of its causes is that the API server cannot be reached or does not
/// serve.
pub(super) fn absence(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    // It speaks for its cause, which therefore is not among those.
    let of_deletion = causes.find_map(|cause| match cause.downcast_ref() {
        Some(DeletionError::Cluster(error)) => cluster::absence(error),
        _ => None,
    });
    of_deletion.or_else(|| cluster::absence(error))
}
