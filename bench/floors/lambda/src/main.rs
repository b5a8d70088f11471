//! The smallest hello function on Lambda. It measures what the runtime costs before Isotherm.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(hello)).await
}

async fn hello(_event: LambdaEvent<IgnoredAny>) -> Result<Value, Error> {
    Ok(json!({ "statusCode": 200, "headers": { "content-type": "text/plain" }, "body": "hello" }))
}
