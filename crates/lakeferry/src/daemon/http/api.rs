//! The API: how jobs stand, and what was done, as `openapi.json` describes it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{
        StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use lakeferry_config::{Job, Mode};
use lakeferry_engine::Phase;
use lakeferry_model::{Clock as _, Instant};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Told,
    access::{Access, guard},
    control,
};
use crate::{
    commands::{history, wording::time_wording},
    daemon::{board::Row, metrics::class, series::LastRun},
    exit::{Code, Trouble},
    system_clock::SystemClock,
};

/// How many runs are shown unless another number is asked for, and at most.
const RUNS: u32 = 50;
const RUNS_MAX: u32 = 1_000;

/// So long a target may take to tell of its runs.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// What describes all of this.
const DESCRIPTION: &str = include_str!("openapi.json");

pub(super) fn routes(access: Arc<Access>) -> Router<Told> {
    let guarded = Router::new()
        .route("/api/v1/jobs", get(jobs))
        .route("/api/v1/jobs/{job}", get(job))
        .route("/api/v1/jobs/{job}/history", get(past_runs))
        .route("/api/v1/jobs/{job}/series", get(series))
        .merge(control::routes())
        .route_layer(from_fn_with_state(access, guard));
    let description = || async { ([(CONTENT_TYPE, "application/json")], DESCRIPTION) };
    guarded.route("/api/v1/openapi.json", get(description))
}

/// Why a request is not answered with what it asks for.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: String,
    hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        let status = match trouble.code {
            Code::Failed => StatusCode::CONFLICT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self {
            status,
            reason: trouble.in_one_line(),
            hint: trouble.hint.map(String::from),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "reason": self.reason, "hint": self.hint });
        (self.status, Body(json!({ "error": error }))).into_response()
    }
}

/// An answer in JSON, which nobody keeps.
pub(super) struct Body(pub(super) Value);

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        let headers = [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-store"),
        ];
        (headers, self.0.to_string()).into_response()
    }
}

/// How a job stands.
#[derive(Serialize)]
struct Stands<'a> {
    name: &'a str,
    source: String,
    target: String,
    mode: &'static str,
    schedule: String,
    state: &'static str,
    watermark: Option<u64>,
    head: Option<u64>,
    lag_versions: Option<u64>,
    lag_seconds: Option<f64>,
    max_lag_exceeded: Option<bool>,
    quarantined: u64,
    next_run: Option<String>,
    run: Option<Running>,
    last_run: Option<Done>,
    trouble: Option<Value>,
    paused: Option<Value>,
}

/// A run that goes on.
#[derive(Serialize)]
struct Running {
    phase: &'static str,
    rows: u64,
    rows_total: Option<u64>,
}

/// The newest run that did something, since the daemon began.
#[derive(Serialize)]
struct Done {
    ended_at: String,
    seconds: f64,
    read: u64,
    inserted: u64,
    updated: u64,
    deleted: u64,
}

impl<'a> Stands<'a> {
    fn of(job: &'a Job, row: &Row, last: Option<LastRun>, now: Instant) -> Self {
        let lag = row.lag(now);
        let trouble = row.trouble.as_ref();
        Self {
            name: job.name.as_str(),
            source: job.source.to_string(),
            target: job.target.to_string(),
            mode: mode(job.mode),
            schedule: schedule(job),
            state: row.word(),
            watermark: row.place.watermark,
            head: row.place.head,
            lag_versions: lag.map(|(versions, _)| versions),
            lag_seconds: lag.map(|(_, seconds)| seconds),
            max_lag_exceeded: row.is_late(now),
            quarantined: row.place.quarantined,
            next_run: row.next.map(time_wording),
            run: row.is_running().then(|| running(row)),
            last_run: last.map(done),
            trouble: trouble.map(|trouble| {
                let (reason, hint) = (&trouble.reason, &trouble.hint);
                json!({ "class": class(trouble.class), "reason": reason, "hint": hint })
            }),
            paused: row.paused.as_ref().map(control::paused),
        }
    }
}

fn running(row: &Row) -> Running {
    let seen = row.meter.seen();
    Running {
        phase: match seen.phase {
            Phase::Looking => "looking",
            Phase::Loading => "loading",
            Phase::Reading => "reading",
            Phase::Applying => "applying",
        },
        rows: seen.rows,
        rows_total: seen.rows_total,
    }
}

fn done(last: LastRun) -> Done {
    Done {
        ended_at: time_wording(last.ended),
        seconds: last.took.as_secs_f64(),
        read: last.read,
        inserted: last.inserted,
        updated: last.updated,
        deleted: last.deleted,
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Snapshot => "snapshot",
        Mode::Incremental => "incremental",
        Mode::Continuous => "continuous",
        Mode::Append => "append",
    }
}

fn schedule(job: &Job) -> String {
    match job.mode {
        Mode::Continuous => "as it is committed".to_owned(),
        _ => job.schedule.to_string(),
    }
}

async fn jobs(State(told): State<Told>) -> Body {
    let (rows, last, now) = (
        told.board.jobs(),
        told.series.last_runs(),
        SystemClock.now(),
    );
    let shared = told.controls.shared();
    let jobs: Vec<_> = (shared.config.jobs.iter())
        .filter_map(|job| stands(job, &rows, &last, now))
        .collect();
    Body(json!({ "jobs": jobs }))
}

async fn job(State(told): State<Told>, Path(name): Path<String>) -> Result<Body, Refusal> {
    let (rows, last) = (told.board.jobs(), told.series.last_runs());
    let stands = stands(&find(&told, &name)?, &rows, &last, SystemClock.now());
    Ok(Body(stands.ok_or_else(|| unknown(&name))?))
}

fn stands(
    job: &Job,
    rows: &BTreeMap<String, Row>,
    last: &BTreeMap<String, LastRun>,
    now: Instant,
) -> Option<Value> {
    let name = job.name.as_str();
    let stands = Stands::of(job, rows.get(name)?, last.get(name).copied(), now);
    serde_json::to_value(stands).ok()
}

async fn past_runs(
    State(told): State<Told>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Body, Refusal> {
    let job = find(&told, &name)?;
    let limit = limit(uri.query().unwrap_or_default())?;
    let read = async {
        // One connection for all who ask.
        let _turn = told.history.lock().await;
        history::of_job(&told.controls.shared().config, &job, limit).await
    };
    let runs = timeout(READ_WITHIN, read).await.map_err(|_| {
        let reason = format!("the target of job {name} did not answer in time");
        Refusal::new(StatusCode::BAD_GATEWAY, reason)
    })?;
    Ok(Body(json!({ "runs": runs? })))
}

fn limit(query: &str) -> Result<u32, Refusal> {
    let Some(limit) = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("limit="))
    else {
        return Ok(RUNS);
    };
    let limit = limit
        .parse()
        .ok()
        .filter(|limit| (1..=RUNS_MAX).contains(limit));
    limit.ok_or_else(|| {
        let reason = format!("limit is no number from 1 to {RUNS_MAX}");
        Refusal::new(StatusCode::BAD_REQUEST, reason)
    })
}

async fn series(State(told): State<Told>, Path(name): Path<String>) -> Result<Body, Refusal> {
    find(&told, &name)?;
    Ok(Body(json!({ "samples": told.series.of(&name) })))
}

pub(super) fn find(told: &Told, name: &str) -> Result<Job, Refusal> {
    let job = told.controls.shared().config.job(name).cloned();
    job.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Refusal {
    let reason = format!("there is no job {name}");
    Refusal::new(StatusCode::NOT_FOUND, reason).hint("/api/v1/jobs lists them")
}
