//! Settings that the clients of AWS's services share. aws-config is not used: it would look in places that a function
//! does not have.

use std::env;
use std::sync::LazyLock;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_types::SdkConfig;

/// Made on first use: work before the first invocation adds to the cold start.
pub(crate) static DYNAMODB: LazyLock<aws_sdk_dynamodb::Client> = LazyLock::new(|| {
    let config = aws_sdk_dynamodb::config::Builder::from(&settings("DYNAMODB"))
        // The default token bucket would end the retries of a throttled batch after a hundred of them.
        .retry_partition(RetryPartition::custom("events").token_bucket(TokenBucket::unlimited()).build());
    aws_sdk_dynamodb::Client::from_conf(config.build())
});

/// Made on first use. Only some functions use it, and some only where the operator has put the configuration there.
pub(crate) static S3: LazyLock<aws_sdk_s3::Client> = LazyLock::new(|| {
    let settings = aws_sdk_s3::config::Builder::from(&settings("S3")).force_path_style(true);
    aws_sdk_s3::Client::from_conf(settings.build())
});

/// More attempts than fit into any invocation: the deadline ends the retries.
const ATTEMPTS: u32 = 20;
/// The first retry waits a random time up to this long, the next one up to twice as long, and so on.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(25);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// These services answer in milliseconds, so an attempt that takes longer is given up and made again.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(3);
const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// Reads an environment variable. An empty one counts as unset.
pub(crate) fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The role's credentials.
pub(crate) fn credentials() -> Credentials {
    Credentials::new(
        environment("AWS_ACCESS_KEY_ID").unwrap_or_default(),
        environment("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
        environment("AWS_SESSION_TOKEN"),
        None, // the environment ends before its credentials do
        "environment",
    )
}

/// The region that the function runs in.
pub(crate) fn region() -> Option<String> {
    environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"))
}

/// The endpoint of a service, if it is not AWS's own.
pub(crate) fn endpoint(service: &str) -> Option<String> {
    environment(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| environment("AWS_ENDPOINT_URL"))
}

/// Builds a client's settings from Lambda's environment variables. `service` is the client's name in these variables.
pub(crate) fn settings(service: &str) -> SdkConfig {
    let (endpoint, region) = (endpoint(service), region());
    let tls = tls_context(endpoint.as_deref(), region.as_deref());
    let mut settings = SdkConfig::builder();
    settings.set_endpoint_url(endpoint);
    settings
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(Builder::new().tls_provider(TLS).tls_context(tls).build_https())
        .region(region.map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials()))
        .retry_config(
            // Exponential backoff with full jitter.
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(LONGEST_BACKOFF),
        )
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build())
        .build()
}

/// Sends requests over HTTPS, without anything else that clients do.
pub(crate) fn connector(endpoint: Option<&str>, region: Option<&str>) -> Connector {
    Connector::builder().tls_provider(TLS).tls_context(tls_context(endpoint, region)).build()
}

/// Trust in Amazon's own authorities alone, which sign for AWS. Reading all authorities of the system would cost a cold
/// start more than everything else here. The system's authorities apply to other endpoints, to other partitions, and
/// on request.
fn tls_context(endpoint: Option<&str>, region: Option<&str>) -> TlsContext {
    let elsewhere = endpoint.is_some_and(|url| url.starts_with("https:"))
        || region.is_some_and(|region| region.starts_with("cn-") || region.contains("-iso"))
        || environment("SSL_CERT_FILE").is_some();
    let amazon = TrustStore::empty().with_pem_certificate(include_bytes!("amazon-roots.pem"));
    match TlsContext::builder().with_trust_store(amazon).build() {
        Ok(amazon) if !elsewhere => amazon,
        _ => TlsContext::default(),
    }
}
