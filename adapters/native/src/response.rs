//! Turns core's reply into an HTTP response.

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use isotherm_core::Reply;

use crate::turns::Turn;

/// A request that gets no answer, and why: the request is not whole, so nothing can be answered. hyper closes its
/// connection.
#[derive(Debug)]
pub(crate) struct Abandoned(pub(crate) &'static str);

impl fmt::Display for Abandoned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Abandoned {}

/// The bytes of an answer. They keep a turn until the last byte is sent.
struct Held {
    body: Vec<u8>,
    _turn: Turn,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Makes the response. A client that is slow to read it keeps `turn` for as long.
pub(crate) fn from_reply(reply: Reply, turn: Option<Turn>) -> Result<Response<Full<Bytes>>, Abandoned> {
    let body = match turn {
        Some(turn) => Bytes::from_owner(Held { body: reply.body, _turn: turn }),
        None => reply.body.into(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).map_err(|_invalid| Abandoned("its status is no status"))?;
    for (name, value) in reply.headers {
        let value = HeaderValue::try_from(value).map_err(|_invalid| Abandoned("a header of its answer is invalid"))?;
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::Turns;

    use http_body_util::BodyExt as _;
    use tokio::time::timeout;

    #[tokio::test]
    async fn an_answer_keeps_its_turn_until_its_bytes_are_gone() {
        let short = std::time::Duration::from_millis(50);
        let turns = Turns::new(2);
        let turn = turns.take("t", 1).await;
        let response = from_reply(Reply::ok(), turn).unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(timeout(short, turns.take("t", 1)).await.is_err());
        drop(bytes);
        assert!(timeout(short, turns.take("t", 1)).await.is_ok_and(|turn| turn.is_some()));
    }
}
