//! Turns core's reply into Spin's response.

use isotherm_core::Reply;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// Makes the response. One to `HEAD` has no body and does not say how long it would be.
pub(crate) fn from_reply(reply: Reply, is_head: bool) -> Result<Response, ErrorCode> {
    let may_have_body = reply.may_have_body() && !is_head;
    let mut fields: Vec<_> =
        reply.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    // The runtime gets the body as a stream, and without this header it would send the body in chunks.
    if may_have_body {
        fields.push(("content-length".to_owned(), reply.body.len().to_string().into_bytes()));
    }
    let fields = Fields::from_list(&fields).map_err(|_malformed| failure("a header of the reply is no header"))?;
    let (mut body, stream) = wit_stream::new();
    let (_no_trailers, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(fields, may_have_body.then_some(stream), trailers);
    response.set_status_code(reply.status).map_err(|()| failure("the status of the reply is no status"))?;
    // This goes on after the response has been handed over. If the client goes away, the rest is of no use to anyone.
    spawn(async move { drop(body.write_all(reply.body).await) });
    Ok(response)
}

/// An error that core could not answer: the runtime answers it, and logs the reason.
pub(crate) fn failure(reason: &str) -> ErrorCode {
    ErrorCode::InternalError(Some(reason.to_owned()))
}
