//! TLS: what the front proves itself by, and what the other commands go by when they trust it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::config::TlsConfig;

/// How long a client may take until both have agreed on their keys.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file can't be used.
    #[error("{key}: {}: {cause}", path.display())]
    File { key: &'static str, path: PathBuf, cause: String },
    /// Each can, but not both together.
    #[error(
        "server.tls.key: {} does not belong to the certificate in {}: {cause}",
        key.display(), cert.display()
    )]
    Pair { cert: PathBuf, key: PathBuf, cause: String },
}

/// The front's certificate and key, which may be read anew while it serves.
#[derive(Debug)]
pub(crate) struct Tls {
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files that `config` names.
    pub(crate) fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self { current: ArcSwap::from(read(config)?) })
    }

    /// Reads them anew: connections from now on see what they hold. Changes nothing where they
    /// can't be used.
    pub(crate) fn reload(&self, config: &TlsConfig) -> Result<(), TlsError> {
        self.current.store(read(config)?);
        Ok(())
    }

    /// Agrees on keys with a client; none where it sends something else, or takes too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<server::TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.current.load_full());
        let accepted = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await;
        match accepted {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake");
                None
            }
            Err(_) => None,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("server.tls.cert", &config.cert)?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| wrong("server.tls.key", &config.key, &told(error, "private key")))?;
    let pair = |cause: String| TlsError::Pair {
        cert: config.cert.clone(),
        key: config.key.clone(),
        cause,
    };
    let mut made = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| pair(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| pair(error.to_string()))?;
    made.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(made))
}

/// The certificates in a PEM file, at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |error| wrong(key, path, &told(error, "certificate"));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(fail)?.collect();
    let chain = chain.map_err(fail)?;
    if chain.is_empty() {
        return Err(fail(pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn told(error: pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("there is no {what} in it, as PEM"),
        other => other.to_string(),
    }
}

fn wrong(key: &'static str, path: &Path, cause: &str) -> TlsError {
    TlsError::File { key, path: path.to_owned(), cause: cause.to_owned() }
}

/// Whom a client trusts, and as whom it knows the broker.
#[derive(Clone)]
pub(crate) struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Trust {
    /// Trusts `host` where it proves itself by the certificates in the file `ca`, or by one that
    /// these have signed.
    pub(crate) fn new(ca: &Path, host: &str) -> Result<Self, TlsError> {
        let fail = |cause: &dyn std::fmt::Display| wrong("--ca", ca, &cause.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in certificates("--ca", ca)? {
            roots.add(certificate).map_err(|error| fail(&error))?;
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| fail(&error))?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| fail(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }

    /// Agrees on keys with the broker at the other end of `stream`.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(self.name.clone(), stream).await
    }
}
