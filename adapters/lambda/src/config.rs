//! Where the configuration comes from: the environment, which holds at most 4,096 bytes, an object in S3, or AWS's
//! Parameters and Secrets extension, a layer that answers HTTP inside the execution environment. The clients of SSM and
//! Secrets Manager would cost every cold start more than one request to the extension does.

use std::collections::BTreeMap;
use std::env;

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::get_object::GetObjectError;
use isotherm_core::{Service, only_place, secret_variable};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::aws::{S3, environment};

/// The variables that hold the configuration itself, or name the object, parameter or secret that holds it.
const TEXT: &str = "ISOTHERM_CONFIG";
const OBJECT: &str = "ISOTHERM_CONFIG_S3";
const PARAMETER: &str = "ISOTHERM_CONFIG_PARAMETER";
const SECRET: &str = "ISOTHERM_CONFIG_SECRET";
/// The variable that names the parameter with all secrets that the configuration names: `{"privacy": "…"}`.
const SECRETS: &str = "ISOTHERM_SECRETS_PARAMETER";
/// How often S3 is asked within one invocation. More attempts would reach the invocation's deadline, and its error would
/// say nothing of S3.
const ATTEMPTS: u32 = 3;
/// The extension's port, unless its own variable names another.
const PORT: &str = "2773";

/// Where the configuration is, if it is not in the environment.
enum Place {
    Object(String),
    Parameter(String),
    Secret(String),
}

/// The service of one invocation.
pub(crate) struct Configured {
    pub(crate) service: Service,
    /// True if all of it came from the environment. [`Service::is_final`] asks for that.
    pub(crate) is_deployed: bool,
}

/// Makes the configured service.
///
/// # Errors
/// The place of the configuration could not be read; it may the next time.
pub(crate) async fn service() -> Result<Configured> {
    let Configured { service, mut is_deployed } = configured().await?;
    let wanted = service.secrets();
    let mut secrets = match environment(SECRETS).filter(|_name| !wanted.is_empty()) {
        Some(name) => {
            is_deployed = false;
            let text =
                parameter(&name).await.with_context(|| format!("cannot read the parameter that {SECRETS} names"))?;
            by_variable(&text)?
        }
        None => BTreeMap::new(),
    };
    for variable in wanted {
        if let Some(secret) = environment(&variable) {
            secrets.insert(variable, secret);
        } else if let Some(secret) = secret(&variable).await? {
            is_deployed = false;
            secrets.insert(variable, secret);
        }
    }
    Ok(Configured { service: service.with_secrets(|variable| secrets.get(variable).cloned()), is_deployed })
}

/// The secrets in the text of the parameter that holds all of them, by their variables. An error never quotes the text.
fn by_variable(text: &str) -> Result<BTreeMap<String, String>> {
    let secrets: Option<BTreeMap<String, String>> = serde_json::from_str(text).ok();
    let secrets = secrets.with_context(|| format!("the parameter that {SECRETS} names must be an object of texts"))?;
    Ok(secrets.into_iter().map(|(name, secret)| (secret_variable(&name), secret)).collect())
}

/// A secret that the configuration names, in the parameter or secret that the variable with this ending names. `None` if
/// there is no such variable.
async fn secret(variable: &str) -> Result<Option<String>> {
    let named = |ending: &str| environment(&format!("{variable}{ending}"));
    match (named("_PARAMETER"), named("_SECRET")) {
        (Some(name), _) => {
            parameter(&name).await.with_context(|| format!("cannot read the parameter of {variable}")).map(Some)
        }
        (None, Some(id)) => {
            secret_of(&id).await.with_context(|| format!("cannot read the secret of {variable}")).map(Some)
        }
        (None, None) => Ok(None),
    }
}

async fn parameter(name: &str) -> Result<String> {
    asked(&format!("/systemsmanager/parameters/get?name={}&withDecryption=true", escaped(name))).await
}

async fn secret_of(id: &str) -> Result<String> {
    asked(&format!("/secretsmanager/get?secretId={}", escaped(id))).await
}

async fn configured() -> Result<Configured> {
    let places = [
        (OBJECT, environment(OBJECT).map(Place::Object)),
        (PARAMETER, environment(PARAMETER).map(Place::Parameter)),
        (SECRET, environment(SECRET).map(Place::Secret)),
    ];
    let text = match only_place(places) {
        Err(error) => return Ok(Configured { service: Service::closed(error), is_deployed: true }),
        Ok(None) => return Ok(Configured { service: of_environment(), is_deployed: true }),
        Ok(Some(Place::Object(name))) => {
            let text = object(&name).await.with_context(|| format!("cannot read the object that {OBJECT} names"))?;
            let Some(text) = text else {
                let service = Service::closed(format_args!("the object that {OBJECT} names does not exist"));
                return Ok(Configured { service, is_deployed: false });
            };
            text
        }
        Ok(Some(Place::Parameter(name))) => {
            parameter(&name).await.with_context(|| format!("cannot read the parameter that {PARAMETER} names"))?
        }
        Ok(Some(Place::Secret(id))) => {
            secret_of(&id).await.with_context(|| format!("cannot read the secret that {SECRET} names"))?
        }
    };
    Ok(Configured { service: Service::from_text(Some(&text)), is_deployed: false })
}

fn of_environment() -> Service {
    match env::var(TEXT) {
        Err(env::VarError::NotUnicode(_)) => Service::closed(format_args!("{TEXT} is not UTF-8")),
        text => Service::from_text(text.ok().as_deref()),
    }
}

/// The text of an object, which is named as `s3://bucket/key`. `None` if S3 says that there is no such object. Without
/// the right to list the bucket, S3 does not say so.
async fn object(name: &str) -> Result<Option<String>> {
    let (bucket, key) = bucket_and_key(name).context("it must be s3://<bucket>/<key>")?;
    let retries = Builder::new().retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    match S3.get_object().bucket(bucket).key(key).customize().config_override(retries).send().await {
        Ok(object) => Ok(Some(String::from_utf8_lossy(&object.body.collect().await?.to_vec()).into_owned())),
        Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn bucket_and_key(name: &str) -> Option<(&str, &str)> {
    let (bucket, key) = name.strip_prefix("s3://")?.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

async fn asked(path: &str) -> Result<String> {
    let port = environment("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT").unwrap_or_else(|| PORT.to_owned());
    let token = environment("AWS_SESSION_TOKEN").unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse()?)).await.context("its extension does not listen")?;
    // HTTP 1.0: the connection ends with the answer, and the answer comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\nx-aws-parameters-secrets-token: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    text(&answer)
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

    #[test]
    fn one_parameter_may_hold_all_secrets() {
        let service = Service::from_text(Some(
            r#"{"version":2,"webhooks":[{"id":"billing","tenant":"acme","secrets":["billing"]}],
                "privacy":{"hashUserIds":true,"secret":"privacy_1"}}"#,
        ));
        let given = by_variable(
            r#"{"privacy_1":"a secret of the tests, of 32 bytes and more","billing":"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","other":""}"#,
        );
        let given = given.unwrap();
        assert!(service.secrets().iter().all(|variable| given.contains_key(variable)), "{:?}", service.secrets());
        let service = service.with_secrets(|variable| given.get(variable).cloned());
        assert!(!service.is_closed(), "{:?}", service.notice());
        for wrong in ["", "s3cret", r#"["s3cret"]"#, r#"{"privacy":{"value":"s3cret"}}"#, r#"{"privacy":"s3cret""#] {
            let told = format!("{:#}", by_variable(wrong).unwrap_err());
            assert!(told.contains("must be an object of texts") && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn an_object_is_named_by_bucket_and_key() {
        assert_eq!(bucket_and_key("s3://config/a/b.json"), Some(("config", "a/b.json")));
        for wrong in ["", "config/a", "s3://config", "s3://config/", "s3:///a", "https://config/a"] {
            assert_eq!(bucket_and_key(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn an_extension_that_does_not_answer_is_an_error() {
        assert!(asked("/secretsmanager/get?secretId=a").await.is_err());
    }
}
