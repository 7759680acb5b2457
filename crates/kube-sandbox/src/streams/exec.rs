//! `pods/exec`: checks the request and hands the connection to the protocol it asks for.

use axum::{
    extract::{Extension, Path, Request, State},
    response::Response,
};

use super::{faults::Plan, options::Query, session::Session, spdy, wants_upgrade, websocket};
use crate::api::respond;
use crate::faults::{Effect, RequestFaults};
use crate::meta::Status;
use crate::node::Node;

pub(super) async fn answer(
    State(node): State<Node>,
    Path((namespace, pod)): Path<(String, String)>,
    Extension(RequestFaults(effects)): Extension<RequestFaults>,
    request: Request,
) -> Response {
    open(node, &namespace, &pod, &effects, request).unwrap_or_else(|status| respond::error(&status))
}

fn open(
    node: Node,
    namespace: &str,
    pod: &str,
    effects: &[Effect],
    request: Request,
) -> Result<Response, Status> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let target = node.check_target(namespace, pod, query.container())?;
    if !target.is_scheduled {
        return Err(Status::bad_request(format!(
            "pod {pod} does not have a host assigned"
        )));
    }
    let session = Session {
        node,
        target,
        request: query.exec()?,
        plan: Plan::new(effects),
    };
    if wants_upgrade(request.headers(), "websocket") {
        let knows_v5 = !effects.contains(&Effect::RefuseV5);
        Ok(websocket::open(session, request, knows_v5))
    } else if wants_upgrade(request.headers(), spdy::PROTOCOL) {
        Ok(spdy::open(session, request))
    } else {
        Err(Status::bad_request("Upgrade request required"))
    }
}
