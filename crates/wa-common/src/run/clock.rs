//! Time as the API server has it, so that the clocks of the machines that look at a Lease do not matter.

use http::header::DATE;
use http::{HeaderMap, Request};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;

use crate::cluster::{Cluster, ClusterError};

/// How far the API server's clock is ahead of this machine's.
#[derive(Debug, Clone, Copy)]
pub struct ServerClock {
    ahead: SignedDuration,
}

impl ServerClock {
    /// Asks the API server for its time, which every HTTP answer carries. Where a proxy has removed it, this machine's
    /// own has to do.
    pub async fn read(cluster: &Cluster) -> Result<Self, ClusterError> {
        let answer = cluster
            .send_idempotent("get /version", || {
                let mut request = Request::new(Body::empty());
                *request.uri_mut() = http::Uri::from_static("/version");
                cluster.client().send(request)
            })
            .await?;
        Ok(Self::by(answer.headers(), Timestamp::now()))
    }

    fn by(headers: &HeaderMap, local: Timestamp) -> Self {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let server = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Self {
            ahead: server.map_or(SignedDuration::ZERO, |server| {
                server.timestamp().duration_since(local)
            }),
        }
    }

    /// How far it is ahead of this machine's clock.
    pub fn ahead(self) -> SignedDuration {
        self.ahead
    }

    /// The API server's time.
    pub fn now(self) -> Timestamp {
        let local = Timestamp::now();
        local.checked_add(self.ahead).unwrap_or(local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_date_counts_not_this_machines() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        let local: Timestamp = "1994-11-06T09:49:37Z".parse().unwrap();
        let clock = ServerClock::by(&headers, local);
        assert_eq!(clock.ahead, SignedDuration::from_hours(-1));
    }

    #[test]
    fn without_a_date_this_machines_clock_has_to_do() {
        for date in [None, Some("yesterday")] {
            let mut headers = HeaderMap::new();
            headers.extend(date.map(|date| (DATE, date.parse().unwrap())));
            let clock = ServerClock::by(&headers, Timestamp::UNIX_EPOCH);
            assert_eq!(clock.ahead, SignedDuration::ZERO);
        }
    }
}
