//! TLS as libpq does it
//! (<https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>), by rustls.
//!
//! | `sslmode` | first | then, if that fails | certificate |
//! |---|---|---|---|
//! | `disable` | plain | | |
//! | `allow` | plain | TLS | as `require` |
//! | `prefer` | TLS if offered | plain | as `require` |
//! | `require` | TLS | | chain, if there is a root certificate |
//! | `verify-ca` | TLS | | chain |
//! | `verify-full` | TLS | | chain and name |
//!
//! Through a socket of the machine there is no TLS. The handshake's signature is checked in every
//! mode: channel binding rests on it. Files are read at each connect.

mod files;
mod verify;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use self::{
    files::{Identity, Roots},
    verify::{ChainVerifier, NoVerifier},
};
use crate::error::Error;

/// The protocol's name, which a direct handshake must offer.
const ALPN: &[u8] = b"postgresql";

/// How much TLS is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// One way to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    /// Plain, if the server does not offer TLS.
    TlsIfOffered,
    Tls,
}

impl Mode {
    /// The ways to try, in their order.
    pub(super) fn ways(self) -> &'static [Way] {
        match self {
            Self::Disable => &[Way::Plain],
            Self::Allow => &[Way::Plain, Way::Tls],
            Self::Prefer => &[Way::TlsIfOffered, Way::Plain],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[Way::Tls],
        }
    }
}

/// What the settings say of TLS.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) mode: Mode,
    pub(super) is_direct: bool,
    pub(super) sends_name: bool,
    pub(super) allows_1_2: bool,
    pub(super) allows_1_3: bool,
    pub(super) sends_certificate: bool,
    /// A file, or `system`.
    pub(super) roots: Option<String>,
    pub(super) revoked: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// Where the defaults of the four are: `~/.postgresql`.
    pub(super) folder: Option<PathBuf>,
}

impl Tls {
    /// # Errors
    /// [`Error::NeedsOperator`] naming the file that is missing, wrong, or open to others.
    pub(super) fn client(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions())
            .map_err(|error| Error::needs_operator("no version of TLS is left").caused_by(error))?
            .dangerous();
        let builder = match self.roots()? {
            None => builder.with_custom_certificate_verifier(NoVerifier::new(&provider)),
            Some(roots) => {
                let revoked = self.revocations()?;
                let with_name = self.mode == Mode::VerifyFull;
                let verifier = ChainVerifier::new(&provider, roots, revoked, with_name)?;
                builder.with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match self.identity()? {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key, path }) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let path = path.display();
                    Error::needs_operator(format!("the client certificate {path} cannot be used"))
                        .advise("give the key that belongs to it as sslkey")
                        .caused_by(error)
                })?
            }
        };
        config.enable_sni = self.sends_name;
        if self.is_direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(config)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let (older, newer) = (self.allows_1_2, self.allows_1_3);
        let newer = newer.then_some(&version::TLS13);
        newer
            .into_iter()
            .chain(older.then_some(&version::TLS12))
            .collect()
    }

    fn default(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// The certificates to trust; `None` if the server's is not looked at.
    fn roots(&self) -> Result<Option<Roots>, Error> {
        match self.roots.as_deref() {
            Some("system") => files::system_roots().map(Some),
            Some(path) => files::roots(Path::new(path)).map(Some),
            None => {
                let path = self.default("root.crt");
                if let Some(path) = path.as_ref().filter(|path| path.exists()) {
                    return files::roots(path).map(Some);
                }
                if self.mode < Mode::VerifyCa {
                    return Ok(None);
                }
                let path = path.map_or_else(String::new, |path| format!(", {}", path.display()));
                Err(Error::needs_operator(format!(
                    "there is no root certificate to hold the server's against{path}"
                ))
                .advise("name one as sslrootcert=FILE, or use sslrootcert=system"))
            }
        }
    }

    fn revocations(
        &self,
    ) -> Result<Vec<rustls::pki_types::CertificateRevocationListDer<'static>>, Error> {
        let default = || self.default("root.crl").filter(|path| path.exists());
        match self.revoked.clone().or_else(default) {
            Some(path) => files::revocations(&path),
            None => Ok(Vec::new()),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, Error> {
        if !self.sends_certificate {
            return Ok(None);
        }
        let default = || self.default("postgresql.crt").filter(|path| path.exists());
        let Some(certificate) = self.certificate.clone().or_else(default) else {
            return Ok(None);
        };
        let Some(key) = self.key.clone().or_else(|| self.default("postgresql.key")) else {
            let path = certificate.display();
            return Err(Error::needs_operator(format!("there is no key for {path}"))
                .advise("name it as sslkey"));
        };
        files::identity(certificate, &key).map(Some)
    }
}

/// An empty store that `roots` are added to; what is not a certificate is told.
fn store(roots: &Roots) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in &roots.certificates {
        let added = store.add(certificate.clone());
        // Among a system's certificates there may be one that no protocol of today takes.
        if let (Err(error), Some(path)) = (added, &roots.path) {
            let path = path.display();
            return Err(Error::needs_operator(format!(
                "the root certificate {path} cannot be used"
            ))
            .advise("give certificates of version 3, in PEM")
            .caused_by(error));
        }
    }
    Ok(store)
}
