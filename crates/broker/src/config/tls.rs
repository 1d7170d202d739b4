//! What the front proves itself by.

use std::path::PathBuf;

use super::reader::{Reader, Section};

/// What the front proves itself by; with it, it speaks TLS only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// A PEM file with the certificate, and with those that have signed it.
    pub(crate) cert: PathBuf,
    /// A PEM file with its private key.
    pub(crate) key: PathBuf,
}

/// The table `tls` of `server`, where there is one.
pub(super) fn tls(server: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<TlsConfig> {
    let mut section = server.section("tls", reader)?;
    let cert: Option<PathBuf> = section.parse("cert", reader);
    let key: Option<PathBuf> = section.parse("key", reader);
    for (name, given) in [("cert", &cert), ("key", &key)] {
        if given.is_none() && !section.has(name) {
            section.object(
                name,
                "name a PEM file: both cert and key are needed".to_owned(),
                reader,
            );
        }
    }
    section.finish(reader);
    Some(TlsConfig { cert: cert?, key: key? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    #[test]
    fn both_files_are_needed_and_named() {
        let parse = |text: &str| Config::parse(text, &Overrides::default());
        let whole = parse("[server.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n").unwrap();
        let files = TlsConfig { cert: PathBuf::from("c.pem"), key: PathBuf::from("k.pem") };
        assert_eq!(whole.server.tls, Some(files));
        let mistakes = parse("[server.tls]\ncert = \"c.pem\"\nkeys = \"k\"\n").unwrap_err();
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert!(lines.iter().any(|line| line.contains("server.tls.key: name a PEM")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("did you mean key?")), "{lines:?}");
    }
}
