//! Who may see and control jobs: whoever knows the token; where there is none, whoever is on this machine.
//!
//! A page of somebody else in a browser on this machine may not, though the browser reaches us: it sends a
//! name that is not this machine's in `Host`, or its own `Origin`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, HOST, ORIGIN},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use lakeferry_config::{Password, Secret};
use tokio::{sync::Mutex, time::Instant as Moment};

use super::api::Refusal;

/// How long a token is not read again: it may come from a command.
const READ_EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(in crate::daemon) struct Access {
    token: Option<Password>,
    /// As it was last read.
    read: Mutex<Option<(Moment, Secret)>>,
    is_local: bool,
}

impl Access {
    pub(in crate::daemon) fn new(address: SocketAddr, token: Option<Password>) -> Self {
        Self {
            token,
            read: Mutex::default(),
            is_local: address.ip().is_loopback(),
        }
    }

    /// Whether nobody may, until there is a token.
    pub(in crate::daemon) fn is_closed(&self) -> bool {
        self.token.is_none() && !self.is_local
    }

    async fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if self.is_closed() {
            let reason = "the status page and the API are closed on this address";
            return Err(Refusal::new(StatusCode::FORBIDDEN, reason)
                .hint("give it a token by http: { token: { file: PATH } }"));
        }
        let host = text(HOST).unwrap_or_default();
        let is_ours = |origin: &str| origin.split_once("://").is_some_and(|(_, at)| at == host);
        if text(ORIGIN).is_some_and(|origin| !is_ours(origin)) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "asked by a page of somebody else",
            ));
        }
        let Some(token) = &self.token else {
            return match is_this_machine(host) {
                true => Ok(()),
                false => Err(
                    Refusal::new(StatusCode::FORBIDDEN, "asked under a foreign name").hint(
                        "ask for localhost, or give it a token by http: { token: { file: PATH } }",
                    ),
                ),
            };
        };
        let said = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let known = self.read(token).await?;
        match said.is_some_and(|said| are_equal(said, known.expose())) {
            true => Ok(()),
            false => Err(
                Refusal::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
                    .hint("send it as `Authorization: Bearer TOKEN`; http.token says which it is"),
            ),
        }
    }

    async fn read(&self, token: &Password) -> Result<Secret, Refusal> {
        let mut read = self.read.lock().await;
        if let Some((at, secret)) = &*read
            && at.elapsed() < READ_EVERY
        {
            return Ok(secret.clone());
        }
        let token = token.clone();
        let secret = tokio::task::spawn_blocking(move || token.read()).await;
        let secret = match secret {
            Ok(Ok(secret)) if !secret.expose().is_empty() => secret,
            Ok(Ok(_)) => return Err(unread("it is empty")),
            Ok(Err(error)) => return Err(unread(&error.to_string())),
            Err(error) => return Err(unread(&error.to_string())),
        };
        *read = Some((Moment::now(), secret.clone()));
        Ok(secret)
    }
}

fn unread(why: &str) -> Refusal {
    tracing::error!(why, "http.token was not read");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the token was not read")
        .hint("the log says why")
}

/// Lets requests through that may.
pub(super) async fn guard(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether a `Host` names this machine to itself.
fn is_this_machine(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Takes as long wherever they differ.
fn are_equal(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differences = pairs.fold(0, |differences, (a, b)| differences | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name: axum::http::HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        pairs.collect()
    }

    fn status(access: &Access, pairs: &[(&str, &str)]) -> u16 {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let checked = runtime.unwrap().block_on(access.check(&headers(pairs)));
        checked.map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
    }

    #[test]
    fn without_a_token_only_this_machine_may() {
        let here = Access::new("127.0.0.1:8642".parse().unwrap(), None);
        for (pairs, expected) in [
            (&[("host", "localhost:8642")][..], 200),
            (&[("host", "127.0.0.1:8642")], 200),
            (&[("host", "[::1]:8642")], 200),
            (
                &[
                    ("host", "localhost:8642"),
                    ("origin", "http://localhost:8642"),
                ],
                200,
            ),
            (
                &[
                    ("host", "localhost:8642"),
                    ("origin", "http://evil.example"),
                ],
                403,
            ),
            (&[("host", "localhost:8642"), ("origin", "null")], 403),
            (&[("host", "evil.example:8642")], 403),
            (&[("host", "localhost.evil.example")], 403),
            (&[], 403),
        ] {
            assert_eq!(status(&here, pairs), expected, "{pairs:?}");
        }
        let anywhere = Access::new("0.0.0.0:8642".parse().unwrap(), None);
        assert_eq!(status(&anywhere, &[("host", "localhost:8642")]), 403);
    }

    #[test]
    fn with_a_token_whoever_knows_it_may() {
        let token = Some(Password::Given(Secret::new("open")));
        for address in ["127.0.0.1:8642", "0.0.0.0:8642"] {
            let access = Access::new(address.parse().unwrap(), token.clone());
            for (pairs, expected) in [
                (&[("authorization", "Bearer open")][..], 200),
                (&[("authorization", "Bearer opem")], 401),
                (&[("authorization", "Bearer ope")], 401),
                (&[("authorization", "open")], 401),
                (&[("host", "localhost")], 401),
                (
                    &[
                        ("authorization", "Bearer open"),
                        ("origin", "http://evil.example"),
                    ],
                    403,
                ),
            ] {
                assert_eq!(status(&access, pairs), expected, "{pairs:?}");
            }
        }
    }
}
