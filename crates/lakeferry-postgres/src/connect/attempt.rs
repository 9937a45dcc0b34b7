//! One attempt: one address, one way to speak to it, one time limit over all of it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_postgres::{
    Client, Config, Connection, NoTls, Socket,
    config::{SslMode, SslNegotiation},
    tls::{MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{ConnectSettings, Server, failure::Failed, pooler, tls::Way};
use crate::{error::Error, link::Link, sqlstate::Place};

/// A connection that came about, as it is.
pub(super) struct Started {
    pub(super) link: Link,
    /// The process of the server that was announced.
    pub(super) announced: Option<i32>,
}

/// An attempt to connect to one address of one server.
pub(super) struct Attempt<'a> {
    pub(super) settings: &'a ConnectSettings,
    pub(super) server: &'a Server,
    /// Absent for a socket of this machine.
    pub(super) address: Option<IpAddr>,
    pub(super) password: Option<&'a str>,
    pub(super) application_name: &'a str,
}

impl Attempt<'_> {
    /// Tries each way to speak to the server, in their order, until one is taken. A server that
    /// cannot be reached one way is not tried the other.
    pub(super) async fn open(&self) -> Result<Started, Failed> {
        let ways = match self.address {
            None => &[Way::Plain][..],
            Some(_) => self.settings.parameters.tls.mode.ways(),
        };
        let mut first: Option<Failed> = None;
        for way in ways {
            match self.open_by(*way).await {
                Ok(opened) => return Ok(opened),
                Err(failed) if failed.ends_ways() => {
                    return Err(first.unwrap_or(failed));
                }
                Err(failed) => {
                    first = Some(match first {
                        // No entry for plain connections says less than why TLS failed.
                        Some(first) if failed.is_no_entry() => first,
                        _ => failed,
                    });
                }
            }
        }
        Err(first.unwrap_or_else(|| Failed::of(Error::bug("there is no way to connect"))))
    }

    async fn open_by(&self, way: Way) -> Result<Started, Failed> {
        let config = self.config(way);
        let limit = self.settings.parameters.connect_timeout;
        let opening = async {
            match way {
                Way::Plain => self.finish(config.connect(NoTls).await, true).await,
                Way::TlsIfOffered | Way::Tls => {
                    let client = self.settings.parameters.tls.client();
                    let client = client.map_err(|error| Failed::at_once(error, &self.place()))?;
                    let used = Arc::new(AtomicBool::new(false));
                    let tls = Noting {
                        tls: MakeRustlsConnect::new(client),
                        used: Arc::clone(&used),
                    };
                    let result = config.connect(tls).await;
                    let is_plain = way == Way::TlsIfOffered && !used.load(Ordering::Relaxed);
                    let finished = self.finish(result, is_plain).await;
                    finished.map_err(|failed| failed.when_plain_was_offered(is_plain))
                }
            }
        };
        match limit {
            None => opening.await,
            Some(limit) => match tokio::time::timeout(limit, opening).await {
                Ok(result) => result,
                Err(_) => Err(Failed::timed_out(&self.place(), limit)),
            },
        }
    }

    fn place(&self) -> Place {
        self.settings.place_at(self.server)
    }

    async fn finish<T>(
        &self,
        result: Result<(Client, Connection<Socket, T>), tokio_postgres::Error>,
        is_plain: bool,
    ) -> Result<Started, Failed>
    where
        T: TlsStream + Unpin + Send + 'static,
    {
        let place = self.place();
        let (client, connection) = result
            .map_err(|error| Failed::explain(error, &place, is_plain, self.password.is_some()))?;
        let announced = pooler::announced(&client).await;
        Ok(Started {
            link: Link::new(client, connection, self.settings.parameters.place.clone()),
            announced,
        })
    }

    fn config(&self, way: Way) -> Config {
        let parameters = &self.settings.parameters;
        let mut config = Config::new();
        config
            .user(&parameters.place.user)
            .dbname(&parameters.place.database)
            .port(self.server.port)
            .application_name(self.application_name)
            .channel_binding(parameters.channel_binding)
            .ssl_mode(match way {
                Way::Plain => SslMode::Disable,
                Way::TlsIfOffered => SslMode::Prefer,
                Way::Tls => SslMode::Require,
            })
            .keepalives(parameters.has_keepalives)
            .keepalives_idle(parameters.keepalive_idle);
        // For rustls an address is a name too.
        config.host(&self.server.host);
        if let Some(address) = self.address {
            config.hostaddr(address);
        }
        if let Some(password) = self.password {
            config.password(password);
        }
        if let Some(options) = &parameters.options {
            config.options(options);
        }
        if parameters.tls.is_direct {
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        if let Some(interval) = parameters.keepalive_interval {
            config.keepalives_interval(interval);
        }
        if let Some(count) = parameters.keepalive_count {
            config.keepalives_retries(count);
        }
        if let Some(timeout) = parameters.tcp_user_timeout {
            config.tcp_user_timeout(timeout);
        }
        config
    }
}

/// Notes whether a handshake was begun: whether the server offered TLS.
struct Noting<T> {
    tls: T,
    used: Arc<AtomicBool>,
}

impl<T: MakeTlsConnect<Socket>> MakeTlsConnect<Socket> for Noting<T> {
    type Stream = T::Stream;
    type TlsConnect = Noting<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        Ok(Noting {
            tls: self.tls.make_tls_connect(domain)?,
            used: Arc::clone(&self.used),
        })
    }
}

impl<T: TlsConnect<Socket>> TlsConnect<Socket> for Noting<T> {
    type Stream = T::Stream;
    type Error = T::Error;
    type Future = T::Future;

    fn connect(self, stream: Socket) -> Self::Future {
        self.used.store(true, Ordering::Relaxed);
        self.tls.connect(stream)
    }
}
