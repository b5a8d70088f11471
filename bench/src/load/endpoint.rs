//! The address that a client connects to: a host on loopback, or any URL.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::load::{AUTHORIZED, OPEN_WITHIN};

/// An address, and the parts of a request that depend on it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) host: HeaderValue,
    pub(super) authorization: Option<HeaderValue>,
    /// The part before every path: empty, or a path that begins with `/` and does not end with one.
    pub(super) prefix: String,
    pub(super) tls: Option<Tls>,
}

#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Tls").field(&self.name).finish()
    }
}

/// The endpoint of a host that this program started: plain HTTP, and the key that goes with [`crate::load::CONFIG`].
impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            // An address contains only characters that a header may have.
            host: HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("localhost")),
            authorization: Some(HeaderValue::from_static(AUTHORIZED)),
            prefix: String::new(),
            tls: None,
        }
    }
}

/// A URL to send load to: `http` or `https`, a host, and optionally a port and a path before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    is_https: bool,
    host: String,
    port: Option<u16>,
    prefix: String,
}

impl std::str::FromStr for Url {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || format!("{text:?} is no URL such as https://events.example.com");
        let uri: Uri = text.parse().with_context(expected)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("{}: http or https", expected()),
        };
        let authority = uri.authority().with_context(expected)?;
        ensure!(!authority.as_str().contains('@'), "a URL may hold no password: give a key with --key or ISOTHERM_KEY");
        ensure!(uri.query().is_none(), "{}: without a query", expected());
        ensure!(!authority.host().is_empty(), expected());
        Ok(Self {
            is_https,
            host: authority.host().to_owned(),
            port: authority.port_u16(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

impl Url {
    fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// Looks the host up once and takes its first address that accepts a connection, so no figure contains the time of
    /// a name server. `key` goes with every request.
    ///
    /// # Errors
    /// Fails if the host has no such address, if the key can't be a header, or if the system has no trusted
    /// certificates.
    pub async fn resolve(&self, key: Option<&str>) -> Result<Endpoint> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let port = self.port.unwrap_or(if self.is_https { 443 } else { 80 });
        let addresses =
            tokio::net::lookup_host((host, port)).await.with_context(|| format!("cannot find the host {host}"))?;
        let address = answering(addresses).await.with_context(|| format!("cannot connect to {host}"))?;
        let bearer = |key: &str| {
            let mut header = HeaderValue::from_str(&format!("Bearer {key}")).context("the key is no header's value")?;
            header.set_sensitive(true);
            Ok::<_, anyhow::Error>(header)
        };
        Ok(Endpoint {
            address,
            host: HeaderValue::from_str(&self.authority())?,
            authorization: key.map(bearer).transpose()?,
            prefix: self.prefix.clone(),
            tls: self.is_https.then(|| tls(host)).transpose()?,
        })
    }
}

/// The first address that accepts a connection.
async fn answering(addresses: impl Iterator<Item = SocketAddr>) -> Result<SocketAddr> {
    let mut failed = anyhow::anyhow!("it has no address");
    for address in addresses {
        match tokio::time::timeout(OPEN_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(_connection)) => return Ok(address),
            Ok(Err(error)) => failed = error.into(),
            Err(_late) => failed = anyhow::anyhow!("no answer within {} s", OPEN_WITHIN.as_secs()),
        }
    }
    Err(failed)
}

/// A TLS configuration that trusts the system's certificates, or those of the file in SSL_CERT_FILE.
fn tls(host: &str) -> Result<Tls> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _not_understood) = roots.add_parsable_certificates(found.certs);
    ensure!(added > 0, "the system has no certificates to trust: install ca-certificates, or set SSL_CERT_FILE");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no name of a host"))?;
    Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (text, shown) in [
            ("https://events.example.com", "https://events.example.com"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://[::1]:1/prod/v1/", "https://[::1]:1/prod/v1"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), shown);
        }
        for (wrong, expect) in [
            ("events.example.com", "http or https"),
            ("ftp://a", "http or https"),
            ("https://u:secret@a", "may hold no password"),
            ("https://a/?x=1", "without a query"),
            ("https://", "is no URL"),
            ("", "is no URL"),
        ] {
            let error = format!("{:#}", wrong.parse::<Url>().unwrap_err());
            assert!(error.contains(expect) && !error.contains("may hold no password: u"), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn a_key_is_in_no_message() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let endpoint = url.resolve(Some("hush")).await.unwrap();
        assert_eq!(endpoint.authorization.as_ref().unwrap(), "Bearer hush");
        assert!(!format!("{endpoint:?}").contains("hush"));
        assert!(url.resolve(Some("a\nb")).await.is_err());
        assert!(url.resolve(None).await.unwrap().authorization.is_none());
    }
}
