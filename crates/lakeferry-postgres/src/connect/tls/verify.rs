//! Who a server is: by its chain of certificates, and by its name where that is asked for.
//!
//! Two things are as in libpq and not as on the web: a certificate that is itself in the root file
//! is trusted, also if it says that it is an authority; and where it has no alternative names, the
//! common name counts.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_cert::{
    Certificate,
    der::{
        Decode,
        asn1::{PrintableStringRef, Utf8StringRef},
        oid::ObjectIdentifier,
    },
};

use super::{files::Roots, store};
use crate::error::Error;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ALTERNATIVE_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// Takes any certificate whose key the server has.
#[derive(Debug)]
pub(super) struct NoVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl NoVerifier {
    pub(super) fn new(provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self {
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Wants a chain to a root, and the name if it is asked for.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    web: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    with_name: bool,
}

impl ChainVerifier {
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        roots: Roots,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        with_name: bool,
    ) -> Result<Arc<Self>, Error> {
        let store = Arc::new(store(&roots)?);
        let web = WebPkiServerVerifier::builder_with_provider(store, Arc::clone(provider))
            .with_crls(revoked)
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| {
                Error::needs_operator("root certificates or revocation lists cannot be used")
                    .advise("check the files of sslrootcert and sslcrl")
                    .caused_by(error)
            })?;
        Ok(Arc::new(Self {
            web,
            roots: roots.certificates,
            with_name,
        }))
    }
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.roots.contains(certificate) {
            check_dates(certificate, now)?;
        } else {
            // The name is looked at last: an error about it says that all else is right.
            match self
                .web
                .verify_server_cert(certificate, chain, name, ocsp, now)
            {
                Err(error) if is_about_name(&error) => {}
                // Else it would be said that an authority's certificate is not a server's.
                Err(_) if signs_itself(certificate) => {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        if self.with_name {
            check_name(certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.web
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.web
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}

fn is_about_name(error: &TlsError) -> bool {
    matches!(
        error,
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

fn parsed(certificate: &CertificateDer<'_>) -> Result<Certificate, TlsError> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn signs_itself(certificate: &CertificateDer<'_>) -> bool {
    parsed(certificate).is_ok_and(|certificate| {
        let says = certificate.tbs_certificate;
        says.issuer == says.subject
    })
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), TlsError> {
    let validity = parsed(certificate)?.tbs_certificate.validity;
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn check_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), TlsError> {
    let error = match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let certificate = parsed(certificate)?.tbs_certificate;
    let mut extensions = certificate.extensions.iter().flatten();
    if extensions.any(|extension| extension.extn_id == ALTERNATIVE_NAMES) {
        return Err(error);
    }
    let attributes = certificate.subject.0.iter().flat_map(|set| set.0.iter());
    let names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    let mut names = names.filter_map(|attribute| {
        let utf8 = attribute.value.decode_as::<Utf8StringRef<'_>>();
        let utf8 = utf8.map(|text| text.as_str().to_owned());
        let printable = attribute.value.decode_as::<PrintableStringRef<'_>>();
        utf8.or_else(|_| printable.map(|text| text.as_str().to_owned()))
            .ok()
    });
    let wanted = name.to_str();
    if names.any(|common| fits(&common, &wanted)) {
        return Ok(());
    }
    Err(error)
}

/// Whether a common name stands for a host: letter case aside, a `*` for its first label.
fn fits(common: &str, host: &str) -> bool {
    if common.eq_ignore_ascii_case(host) {
        return true;
    }
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match (common.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((label, rest))) if !is_address => {
            !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_common_name_stands_for_hosts() {
        for (common, host, expected) in [
            ("db.example.com", "DB.example.com", true),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("*", "db", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("*.0.0.1", "127.0.0.1", false),
            ("db", "db2", false),
        ] {
            assert_eq!(fits(common, host), expected, "{common} {host}");
        }
    }
}
