//! Turns core's reply into the runtime's response.

use isotherm_core::Reply;
use worker::Result;
use worker::js_sys::Uint8Array;
use worker::web_sys::{Headers, Response, ResponseInit};

pub(crate) fn from_reply(reply: &Reply) -> Result<Response> {
    let headers = Headers::new()?;
    for (name, value) in &reply.headers {
        headers.append(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(reply.status);
    init.set_headers(&headers);
    // The runtime knows the number of these bytes, so it sends content-length.
    let body = reply.may_have_body().then(|| Uint8Array::from(reply.body.as_slice()));
    Ok(Response::new_with_opt_js_u8_array_and_init(body.as_ref(), &init)?)
}
