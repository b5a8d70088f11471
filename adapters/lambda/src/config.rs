//! Where the configuration comes from: the environment, which holds at most 4,096 bytes, or AWS's Parameters and
//! Secrets extension, a layer that answers HTTP inside the execution environment. The clients of SSM and Secrets
//! Manager would cost every cold start more than one request to the extension does.

use std::env;

use anyhow::{Context as _, Result, ensure};
use isotherm_core::Service;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::aws::environment;

/// The variables that hold the configuration itself, or the name of the parameter or secret that holds it.
const TEXT: &str = "ISOTHERM_CONFIG";
const PARAMETER: &str = "ISOTHERM_CONFIG_PARAMETER";
const SECRET: &str = "ISOTHERM_CONFIG_SECRET";
/// The extension's port, unless its own variable names another.
const PORT: &str = "2773";

/// Makes the configured service.
///
/// # Errors
/// The extension did not answer; it may the next time.
pub(crate) async fn service() -> Result<Service> {
    if let Some(name) = environment(PARAMETER) {
        let path = format!("/systemsmanager/parameters/get?name={}&withDecryption=true", escaped(&name));
        return asked(&path).await.with_context(|| format!("cannot read the parameter that {PARAMETER} names"));
    }
    if let Some(id) = environment(SECRET) {
        let path = format!("/secretsmanager/get?secretId={}", escaped(&id));
        return asked(&path).await.with_context(|| format!("cannot read the secret that {SECRET} names"));
    }
    Ok(match env::var(TEXT) {
        Err(env::VarError::NotUnicode(_)) => Service::closed(format_args!("{TEXT} is not UTF-8")),
        text => Service::from_text(text.ok().as_deref()),
    })
}

async fn asked(path: &str) -> Result<Service> {
    let port = environment("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT").unwrap_or_else(|| PORT.to_owned());
    let token = environment("AWS_SESSION_TOKEN").unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse()?)).await.context("its extension does not listen")?;
    // HTTP 1.0: the connection ends with the answer, and the answer comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\nx-aws-parameters-secrets-token: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(Service::from_text(Some(&text(&answer)?)))
}

/// The configuration in the extension's answer. An error never quotes the answer's body, which may hold the
/// configuration.
fn text(answer: &str) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Parameter {
        value: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        parameter: Option<Parameter>,
        secret_string: Option<String>,
    }
    let (head, body) = answer.split_once("\r\n\r\n").context("its answer is no HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "it answered {status}");
    let answer: Option<Answer> = serde_json::from_str(body).ok();
    let text = answer.and_then(|answer| answer.parameter.map(|parameter| parameter.value).or(answer.secret_string));
    text.context("its answer has no text")
}

/// Escapes a name for use in a query.
fn escaped(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_extension_says() {
        let said = |answer: &str| text(answer).map_err(|error| error.to_string());
        let of = |body: &str| format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{body}");
        let config = Ok(r#"{"open":true}"#.to_owned());
        assert_eq!(said(&of(r#"{"Parameter":{"Name":"a","Value":"{\"open\":true}"},"ResultMetadata":{}}"#)), config);
        assert_eq!(said(&of(r#"{"ARN":"a","SecretString":"{\"open\":true}"}"#)), config);
        assert_eq!(said(&of(r#"{"SecretBinary":"AAAA"}"#)), Err("its answer has no text".to_owned()));
        assert_eq!(said("HTTP/1.0 400 Bad Request\r\n\r\nnot ready"), Err("it answered 400".to_owned()));
        assert_eq!(said(""), Err("its answer is no HTTP".to_owned()));
    }

    #[tokio::test]
    async fn an_extension_that_does_not_answer_is_an_error() {
        assert!(asked("/secretsmanager/get?secretId=a").await.is_err());
    }
}
