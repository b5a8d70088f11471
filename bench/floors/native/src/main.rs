//! The smallest hello server on axum. It reads the body, because hyper would close the connection otherwise. It
//! ignores every flag except `--port`, so that it starts like `isotherm-native`.

use std::error::Error;

use axum::Router;
use axum::body::Bytes;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().skip_while(|flag| flag != "--port").nth(1).unwrap_or_default();
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("ready http://{}", listener.local_addr()?);
    let hello = Router::new().fallback(async |_body: Bytes| "hello");
    axum::serve(listener, hello).with_graceful_shutdown(async move { _ = terminate.recv().await }).await?;
    Ok(())
}
