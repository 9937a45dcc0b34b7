//! The files of TLS, in PEM: root certificates, revocation lists, the client's certificate and its
//! key. What is wrong with one names it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::error::Error;

/// Certificates to trust.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Where they are from; absent for those of the system.
    pub(super) path: Option<PathBuf>,
}

/// Who the client is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) path: PathBuf,
}

/// What the system trusts; SSL_CERT_FILE and SSL_CERT_DIR name other places.
pub(super) fn system_roots() -> Result<Roots, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let error = Error::needs_operator("the system trusts no certificate")
            .advise("install ca-certificates, or name a file as sslrootcert");
        return Err(match found.errors.into_iter().next() {
            Some(cause) => error.caused_by(cause),
            None => error,
        });
    }
    Ok(Roots {
        certificates: found.certs,
        path: None,
    })
}

pub(super) fn roots(path: &Path) -> Result<Roots, Error> {
    Ok(Roots {
        certificates: all(path, "root certificate", "sslrootcert")?,
        path: Some(path.to_owned()),
    })
}

pub(super) fn revocations(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    all(path, "revocation list", "sslcrl")
}

pub(super) fn identity(certificate: PathBuf, key: &Path) -> Result<Identity, Error> {
    let chain = all(&certificate, "client certificate", "sslcert")?;
    check_owner(key)?;
    let bytes = read(key, "client key", "sslkey")?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let path = key.display();
        let is_encrypted = String::from_utf8_lossy(&bytes).contains("ENCRYPTED");
        let error =
            Error::needs_operator(format!("the client key {path} cannot be used")).caused_by(error);
        error.advise(match is_encrypted {
            true => format!(
                "it has a password, which is not supported: openssl pkey -in {path} -out KEY"
            ),
            false => "give a private key in PEM as sslkey".to_owned(),
        })
    })?;
    Ok(Identity {
        chain,
        key,
        path: certificate,
    })
}

/// As libpq, a key that others can read is refused; one of root may be readable by a group.
fn check_owner(key: &Path) -> Result<(), Error> {
    let path = key.display();
    let metadata =
        fs::metadata(key).map_err(|error| unreadable(key, "client key", "sslkey", error))?;
    let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if metadata.is_file() && metadata.mode() & forbidden == 0 {
        return Ok(());
    }
    Err(
        Error::needs_operator(format!("others can read the client key {path}"))
            .advise(format!("chmod 0600 {path}")),
    )
}

/// All objects of one kind in a file, of which there must be one.
fn all<T: PemObject>(path: &Path, what: &str, parameter: &str) -> Result<Vec<T>, Error> {
    let bytes = read(path, what, parameter)?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&bytes).collect();
    let wrong = || {
        let path = path.display();
        Error::needs_operator(format!("the {what} {path} cannot be used"))
            .advise(format!("give a file in PEM as {parameter}"))
    };
    match found {
        Ok(found) if found.is_empty() => Err(wrong()),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong().caused_by(error)),
    }
}

fn read(path: &Path, what: &str, parameter: &str) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unreadable(path, what, parameter, error))
}

fn unreadable(path: &Path, what: &str, parameter: &str, error: io::Error) -> Error {
    let path = path.display();
    Error::needs_operator(format!("the {what} {path} cannot be read"))
        .advise(format!(
            "check {parameter}, and that this user may read the file"
        ))
        .caused_by(error)
}
