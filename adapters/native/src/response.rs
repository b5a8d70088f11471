//! Core's reply as HTTP's response.

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use isotherm_core::Reply;

/// A request that gets no answer, and why: there is no whole request to give one to. hyper closes its connection.
#[derive(Debug)]
pub(crate) struct Abandoned(pub(crate) &'static str);

impl fmt::Display for Abandoned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Abandoned {}

pub(crate) fn from_reply(reply: Reply) -> Result<Response<Full<Bytes>>, Abandoned> {
    let mut response = Response::new(Full::from(reply.body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).map_err(|_invalid| Abandoned("its status is no status"))?;
    for (name, value) in reply.headers {
        let value = HeaderValue::try_from(value).map_err(|_invalid| Abandoned("a header of its answer is invalid"))?;
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    Ok(response)
}
