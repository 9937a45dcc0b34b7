//! What the daemon answers by HTTP, on addresses of the settings.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 while the loop comes round |
//! | `/readyz` | 200 while it works; else 503, and what it waits for, a line each |
//! | `/metrics` | as Prometheus reads it (OpenMetrics 1.0) |
//! | `/api/v1/…` | how jobs stand, and their control, for whoever [`access`] lets |
//! | `/` | the status page, which asks the API |
//!
//! The address for probes has the first three alone.

mod access;
mod api;
mod control;
mod page;

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use lakeferry_model::Clock as _;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};

pub(super) use self::access::Access;
use super::{board::Board, control::Controls, metrics::Metrics, series::Series};
use crate::system_clock::SystemClock;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the answers are made of.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) board: Arc<Board>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) series: Arc<Series>,
    /// Held by the one request that reads the history.
    pub(super) history: Arc<Mutex<()>>,
    pub(super) controls: Controls,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Answers on `address` from now on: to probes, and to those whom `access` lets, if it is given; says
    /// which address it is, for a port of 0 is any.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub(super) async fn start(
        address: SocketAddr,
        told: Told,
        access: Option<Access>,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let mut routes = Router::new()
            .route("/healthz", get(health))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics));
        if let Some(access) = access {
            routes = routes
                .merge(api::routes(Arc::new(access)))
                .merge(page::routes());
        }
        let routes = routes.with_state(told);
        let serve = async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "nobody is answered any more");
            }
        };
        Ok((Self(tokio::spawn(serve)), address))
    }
}

async fn health(State(told): State<Told>) -> impl IntoResponse {
    if told.board.is_alive(SystemClock.now()) {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop stands still\n")
    }
}

async fn readiness(State(told): State<Told>) -> impl IntoResponse {
    let waits = told.board.waits_for();
    if waits.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, waits.join("\n") + "\n")
}

async fn metrics(State(told): State<Told>) -> impl IntoResponse {
    let text = told.metrics.text(&told.board.jobs(), SystemClock.now());
    ([(CONTENT_TYPE, METRICS_TYPE)], text)
}
