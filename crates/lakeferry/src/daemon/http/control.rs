//! The part of the API that controls jobs: pause, resume, sync.

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use lakeferry_model::Pause;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Told,
    api::{Body, Refusal, find},
};
use crate::{commands::wording::time_wording, exit::Trouble};

/// Who it is that asks, as a pause tells it.
const BY: &str = "HTTP API";

/// So long it may take until what is wanted is noted, in the target and by the loop.
const NOTED_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<Told> {
    Router::new()
        .route("/api/v1/jobs/{job}/pause", post(pause))
        .route("/api/v1/jobs/{job}/resume", post(resume))
        .route("/api/v1/jobs/{job}/sync", post(sync))
}

/// What may come with a pause.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pausing {
    reason: Option<String>,
}

async fn pause(
    State(told): State<Told>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Body, Refusal> {
    find(&told, &name)?;
    let Pausing { reason } = match body.is_empty() {
        true => Pausing::default(),
        false => serde_json::from_slice(&body).map_err(|error| {
            let reason = format!("the body is not understood: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, reason)
        })?,
    };
    let pause = noted(&name, told.controls.pause(&name, BY, reason.as_deref())).await?;
    Ok(Body(json!({ "paused": paused(&pause) })))
}

async fn resume(State(told): State<Told>, Path(name): Path<String>) -> Result<Body, Refusal> {
    find(&told, &name)?;
    let was_paused = noted(&name, told.controls.resume(&name)).await?;
    Ok(Body(json!({ "was_paused": was_paused })))
}

async fn sync(State(told): State<Told>, Path(name): Path<String>) -> Result<Body, Refusal> {
    find(&told, &name)?;
    noted(&name, told.controls.sync(&name)).await?;
    Ok(Body(json!({ "asked": true })))
}

/// Waits until it is noted what is wanted of a job.
async fn noted<T>(
    name: &str,
    noting: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Refusal> {
    let noted = timeout(NOTED_WITHIN, noting).await.map_err(|_| {
        let reason = format!("what is wanted of job {name} was not noted in time");
        Refusal::new(StatusCode::BAD_GATEWAY, reason).hint("look how the job stands")
    })?;
    Ok(noted?)
}

/// A pause as the API tells it.
pub(super) fn paused(pause: &Pause) -> Value {
    let since = time_wording(pause.since);
    json!({ "since": since, "by": pause.by, "reason": pause.reason })
}
