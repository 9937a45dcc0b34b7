//! Why a connection did not come about, by who must do what: each names user, server and database.

use std::{error::Error as StdError, fmt, io, time::Duration};

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use tokio_postgres::error::{DbError, SqlState};

use crate::{
    error::Error,
    sqlstate::{Doing, Place, is_lost},
};

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    kind: Kind,
    /// Plain is what the server offered when TLS was preferred: there is no other way.
    was_plain_offered: bool,
}

/// What the rest of the attempts depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There was no server, or not the right one: the next may do.
    Elsewhere,
    /// The server was there and hung up: another way to speak to it may do, and so may the next.
    HungUp,
    /// The server has no rule for such a connection.
    NoEntry,
    /// Another way to speak to the server may do, but no other server.
    Final,
}

impl Failed {
    pub(super) fn of(error: Error) -> Self {
        Self::new(error, Kind::Final)
    }

    fn new(error: Error, kind: Kind) -> Self {
        Self {
            error: error.while_connecting(),
            kind,
            was_plain_offered: false,
        }
    }

    /// `error` came up before the server was asked.
    pub(super) fn at_once(error: Error, place: &Place) -> Self {
        Self::of(error.within(&format!("cannot connect ({place})")))
    }

    /// Whether the next address or server is tried, as in libpq: not after a refusal.
    pub(super) fn tries_next(&self) -> bool {
        matches!(self.kind, Kind::Elsewhere | Kind::HungUp)
    }

    /// Whether it is of no use to speak to the server in another way.
    pub(super) fn ends_ways(&self) -> bool {
        self.kind == Kind::Elsewhere || self.was_plain_offered
    }

    /// A server that hung up may have done so rather than offer anything.
    pub(super) fn when_plain_was_offered(self, is_plain: bool) -> Self {
        Self {
            was_plain_offered: is_plain && self.kind != Kind::HungUp,
            ..self
        }
    }

    pub(super) fn is_no_entry(&self) -> bool {
        self.kind == Kind::NoEntry
    }

    pub(super) fn timed_out(place: &Place, limit: Duration) -> Self {
        let seconds = limit.as_secs();
        let what = format!("cannot connect ({place}): no answer within {seconds} s");
        let hint = "check host, port, network and firewall, or raise connect_timeout";
        Self::new(Error::transient(what).advise(hint), Kind::Elsewhere)
    }

    pub(super) fn unknown_host(error: io::Error, place: &Place, host: &str) -> Self {
        let what = format!("cannot connect ({place}): the host {host} is not known");
        let hint = "correct the host in the url, or look at the name service";
        let error = Error::transient(what).advise(hint).caused_by(error);
        Self::new(error, Kind::Elsewhere)
    }

    pub(super) fn other_role(place: &Place, what: &str) -> Self {
        let what = format!("cannot connect ({place}): {what}");
        let hint = "name the primary among the hosts, or wait for the end of the failover";
        Self::new(Error::transient(what).advise(hint), Kind::Elsewhere)
    }

    /// What `error` means; `is_plain` if TLS was not spoken.
    pub(super) fn explain(
        error: tokio_postgres::Error,
        place: &Place,
        is_plain: bool,
        has_password: bool,
    ) -> Self {
        if let Some(refusal) = error.as_db_error() {
            return Self::refused(refusal, place, is_plain);
        }
        if let Some(tls) = tls_error(&error) {
            let (why, hint) = tls_remedy(tls);
            let what = format!("cannot connect ({place}): {why}");
            return Self::of(Error::needs_operator(what).advise(hint).caused_by(error));
        }
        if let Some((why, hint)) = protocol_remedy(&error, has_password) {
            let what = format!("cannot connect ({place}): {why}");
            return Self::of(Error::needs_operator(what).advise(hint));
        }
        if is_lost(&error) {
            let (why, hint) = network_remedy(&error, is_plain);
            let what = format!("cannot connect ({place}): {why}");
            // So tokio-postgres calls all that comes before the first byte.
            let kind = match error.to_string() == "error connecting to server" {
                true => Kind::Elsewhere,
                false => Kind::HungUp,
            };
            return Self::new(Error::transient(what).advise(hint).caused_by(error), kind);
        }
        let what = format!("cannot connect ({place})");
        let hint = "check that the server is postgres, and the parameters of the url";
        Self::of(Error::needs_operator(what).advise(hint).caused_by(error))
    }

    fn refused(refusal: &DbError, place: &Place, is_plain: bool) -> Self {
        let kind = match refusal.code() {
            code if *code == SqlState::CANNOT_CONNECT_NOW => Kind::Elsewhere,
            _ if is_no_entry(refusal) => Kind::NoEntry,
            _ => Kind::Final,
        };
        let error = Doing::new("connect").refused(refusal, place);
        let Place { user, database, .. } = place;
        let hint = match refusal.code().code() {
            "28P01" => format!(
                "correct the password of {user:?}, or set it: ALTER ROLE {user:?} PASSWORD '…'"
            ),
            "28000" if refusal.routine() == Some("InitializeSessionUserId") => {
                format!("create the user with CREATE ROLE {user:?} LOGIN, or correct it in the url")
            }
            "28000" if refusal.message().contains("valid client certificate") => {
                "give a client certificate as sslcert and its key as sslkey, with sslmode=require \
                 or stricter"
                    .to_owned()
            }
            "28000" if kind == Kind::NoEntry => {
                let other = match is_plain {
                    true => "; or use sslmode=require or stricter, if the server takes only TLS",
                    false => "",
                };
                format!(
                    "add a line for user {user:?}, database {database:?} and this host to the \
                     server's pg_hba.conf{other}"
                )
            }
            "28000" => format!(
                "correct user, password or client certificate, or the line for {user:?} in the \
                 server's pg_hba.conf"
            ),
            "3D000" => format!("create the database {database:?}, or correct its name in the url"),
            "42501" => format!("GRANT CONNECT ON DATABASE {database:?} TO {user:?}"),
            "53300" => {
                "raise max_connections of the server (or the limit of this user or database), or \
                 lower max_connections of the target"
                    .to_owned()
            }
            "57P03" => "wait for the server's start, or name its primary in the url".to_owned(),
            // So speaks PgBouncer.
            "08P01" => {
                "correct user and database, or look at the settings of the pooler before the server"
                    .to_owned()
            }
            _ => return Self::new(error, kind),
        };
        let is_pooler = refusal.code().code() == "08P01";
        let error = match is_pooler {
            true => error.for_operator(),
            false => error,
        };
        Self::new(error.advise(hint), kind)
    }
}

/// Nothing came about: the last failure, and in it what the others were.
pub(super) fn all(mut failures: Vec<Failed>, place: &Place) -> Error {
    let Some(last) = failures.pop() else {
        let what = format!("cannot connect ({place}): the host has no address");
        return Error::transient(what)
            .advise("correct the host in the url")
            .while_connecting();
    };
    if failures.is_empty() {
        return last.error;
    }
    let hint = lakeferry_model::Failure::hint(&last.error).unwrap_or_default();
    failures.push(last);
    let told: Vec<_> = failures
        .iter()
        .map(|failed| failed.error.to_string())
        .collect();
    Error::transient(format!("cannot connect ({place}): no server will do"))
        .advise(hint)
        .caused_by(Each(told))
        .while_connecting()
}

/// What went wrong at each server.
#[derive(Debug)]
struct Each(Vec<String>);

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl StdError for Each {}

/// Messages are translated; the function in the server's source is not.
fn is_no_entry(refusal: &DbError) -> bool {
    refusal.routine() == Some("ClientAuthentication")
        && !refusal.message().contains("valid client certificate")
}

/// What rustls said, beneath whatever wraps it.
fn tls_error(error: &tokio_postgres::Error) -> Option<&TlsError> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<TlsError>() {
            return Some(tls);
        }
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<TlsError>()) {
            return Some(tls);
        }
        next = cause.source();
    }
    None
}

fn tls_remedy(error: &TlsError) -> (String, &'static str) {
    let (why, hint) = match error {
        TlsError::InvalidCertificate(wrong) => return certificate_remedy(wrong),
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::DecryptError,
        ) => (
            "the server refuses the client certificate",
            "give one that the server trusts (its ssl_ca_file) as sslcert, with its key as sslkey",
        ),
        TlsError::PeerIncompatible(_) | TlsError::AlertReceived(_) => (
            "no version or cipher of TLS is common to both sides",
            "let the server speak TLS 1.2 or 1.3 (ssl_min_protocol_version)",
        ),
        _ => (
            "TLS failed",
            "check that the server speaks TLS; see the cause",
        ),
    };
    (why.to_owned(), hint)
}

fn certificate_remedy(wrong: &CertificateError) -> (String, &'static str) {
    let (why, hint) = match wrong {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "the server's certificate is not signed by a root certificate that is trusted",
            "name the root that signed it as sslrootcert",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "the server's certificate is for another name than the host in the url",
            "write the host as the certificate has it, or use sslmode=verify-ca if the root signs \
             for nobody else",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "the server's certificate has expired",
            "renew it on the server; if it is new, look at this machine's clock",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "the server's certificate is not valid yet",
            "look at the clocks of server and client",
        ),
        CertificateError::Revoked => (
            "the server's certificate was revoked",
            "renew it on the server",
        ),
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => (
            "the revocation list does not say whether the server's certificate still counts",
            "renew the file of sslcrl; it wants a list of each authority in the chain",
        ),
        other => {
            let text = format!("the server's certificate is not right ({other})");
            let hint = "give the server a certificate of version 3 that is meant for servers";
            return (text, hint);
        }
    };
    (why.to_owned(), hint)
}

/// What tokio-postgres tells in words alone.
fn protocol_remedy(
    error: &tokio_postgres::Error,
    has_password: bool,
) -> Option<(&'static str, &'static str)> {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    Some(match cause.as_str() {
        "server does not support TLS" => (
            "the server does not offer TLS",
            "turn ssl on at the server; without TLS, on a network that you trust, write \
             sslmode=disable",
        ),
        "password missing" => (
            "the server asks for a password and there is none",
            "give it as password: { env: NAME } of the target, or in the password file",
        ),
        "server did not use channel binding" => (
            "the server does not bind the password to the connection, which channel_binding=require demands",
            "let the server ask for scram-sha-256 over TLS, with a certificate that is not Ed25519",
        ),
        "unsupported authentication method" | "unsupported SASL mechanism" => (
            "the server asks for a way to log in that is not supported",
            "let the server's pg_hba.conf ask for scram-sha-256 or a client certificate",
        ),
        "SCRAM verification error" | "invalid server signature" if has_password => (
            "the server does not know the password that it checks",
            "somebody may stand between: use sslmode=verify-full",
        ),
        _ => return None,
    })
}

fn network_remedy(error: &tokio_postgres::Error, is_plain: bool) -> (&'static str, &'static str) {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => (
            "no server listens there",
            "start the server, or correct host and port in the url",
        ),
        Some(io::ErrorKind::NotFound) => (
            "there is no socket",
            "start the server, or correct the directory of its socket and the port in the url",
        ),
        Some(io::ErrorKind::PermissionDenied) => (
            "this user may not use the socket",
            "let this user into the directory of the socket, or name a host",
        ),
        Some(io::ErrorKind::TimedOut) => (
            "no answer",
            "check host, port, network and firewall, or raise connect_timeout",
        ),
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => (
            "no way leads to the host",
            "check host, network and firewall",
        ),
        _ if is_plain => (
            "the connection was closed at its start",
            "look at the server's log; it may be starting, or take only TLS (sslmode=require)",
        ),
        _ => (
            "the connection was closed at its start",
            "look at the server's log; it may be starting",
        ),
    }
}
