//! Certificates made for a test, in PEM.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What a certificate says.
pub(crate) struct Says<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) names: &'a [&'a str],
    pub(crate) serial: u64,
    pub(crate) last_year: i32,
}

impl<'a> Says<'a> {
    pub(crate) fn name(name: &'a str) -> Self {
        Self {
            common_name: name,
            names: &[],
            serial: 1,
            last_year: 4000,
        }
    }
}

fn params(says: &Says<'_>) -> CertificateParams {
    let names: Vec<String> = says.names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, says.common_name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(says.last_year, 1, 1);
    params.serial_number = Some(SerialNumber::from(says.serial));
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(&Says::name(name));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn sign(&self, says: &Says<'_>) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params(says).signed_by(&key, &self.issuer).unwrap();
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The list of what was revoked.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2010, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2010, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A certificate that nobody but its own key signed, as `openssl req -x509` makes it.
pub(crate) fn self_signed(name: &str) -> Signed {
    let key = KeyPair::generate().unwrap();
    let certificate = authority(name).self_signed(&key).unwrap();
    Signed {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}
