//! `pods/log`: a container's output as plain text, to its present end or for as long as it runs.

use std::io;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use http::{StatusCode, header};

use super::options::Query;
use crate::api::respond;
use crate::meta::Status;
use crate::node::{LogReader, Node};

pub(super) async fn answer(
    State(node): State<Node>,
    Path((namespace, pod)): Path<(String, String)>,
    request: Request,
) -> Response {
    open(
        &node,
        &namespace,
        &pod,
        request.uri().query().unwrap_or_default(),
    )
    .await
    .unwrap_or_else(|status| respond::error(&status))
}

async fn open(node: &Node, namespace: &str, pod: &str, query: &str) -> Result<Response, Status> {
    let query = Query::parse(query);
    let (options, previous) = query.log()?;
    let target = node.check_target(namespace, pod, query.container())?;
    if !target.is_scheduled {
        // There is no node to ask, and so far nothing to show.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reader = node.log(&target, previous, options).await?;
    let body = Body::from_stream(chunks(reader));
    Ok(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
}

fn chunks(reader: LogReader) -> impl Stream<Item = io::Result<bytes::Bytes>> {
    stream::try_unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Ok(chunk.map(|chunk| (chunk, reader)))
    })
}
