//! Core's reply as HTTP's response.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use isotherm_core::Reply;

/// A request that gets no answer: there is no whole request to give one to. Its connection is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abandoned {
    why: &'static str,
}

impl Abandoned {
    pub(crate) fn new(why: &'static str) -> Self {
        Self { why }
    }
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request was not answered: {}", self.why)
    }
}

impl std::error::Error for Abandoned {}

impl IntoResponse for Abandoned {
    /// axum's handlers always answer: this one is marked, for [`sendable`] to stop it.
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response, unless it stands for none: then hyper closes the connection on the error.
pub(crate) fn sendable(mut response: Response) -> Result<Response, Abandoned> {
    response.extensions_mut().remove::<Abandoned>().map_or(Ok(response), Err)
}

pub(crate) fn from_reply(reply: Reply) -> Result<Response, Abandoned> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).map_err(|_invalid| Abandoned::new("its status is no status"))?;
    for (name, value) in reply.headers {
        let value =
            HeaderValue::try_from(value).map_err(|_invalid| Abandoned::new("a header of its answer is invalid"))?;
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    Ok(response)
}
