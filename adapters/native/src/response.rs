//! Core's reply as HTTP's response.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use isotherm_core::Reply;

/// A request that gets no answer, and why: there is no whole request to give one to. Its connection is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abandoned(pub(crate) &'static str);

impl IntoResponse for Abandoned {
    /// axum's handlers always answer: this one is marked, for [`sendable`] to stop it.
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response, unless it stands for none: then hyper closes the connection on the error.
pub(crate) fn sendable(mut response: Response) -> Result<Response, &'static str> {
    response.extensions_mut().remove::<Abandoned>().map_or(Ok(response), |Abandoned(why)| Err(why))
}

pub(crate) fn from_reply(reply: Reply) -> Result<Response, Abandoned> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).map_err(|_invalid| Abandoned("its status is no status"))?;
    for (name, value) in reply.headers {
        let value = HeaderValue::try_from(value).map_err(|_invalid| Abandoned("a header of its answer is invalid"))?;
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    Ok(response)
}
