//! The smallest hello function on Workers, written as its users write it. It measures what the platform costs before
//! Isotherm.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(mut request: Request, _env: Env, _context: Context) -> Result<Response> {
    // A body that is left unread may cost its client the connection.
    request.bytes().await?;
    Response::ok("hello")
}
