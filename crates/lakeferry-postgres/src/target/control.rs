//! What operators want of jobs: pauses and requests, kept in rows of their own. So nobody who sets them
//! waits for an apply, and no session is fenced by them; whoever runs jobs may be anywhere, or not run.

pub(super) mod requests;

use lakeferry_model::{JobKey, Pause};
use tokio_postgres::{Row, types::Type};

use crate::{
    connect::ConnectSettings,
    error::Error,
    link::{Link, Param},
    spares::Spares,
    sql::Sql,
    sqlstate::Doing,
    target::{
        lease::{has_expired, is_alive},
        migrations,
        settings::check_name,
        state::{Moment, StateSchema},
    },
};

const PAUSE_OF: &str = "\
SELECT paused_at, paused_by, reason FROM {} WHERE deployment = $1 AND job = $2";

/// Who paused it first, and when, stays.
const PAUSE: &str = "\
INSERT INTO {} AS p (deployment, job, paused_by, reason) VALUES ($1, $2, $3, $4) \
ON CONFLICT (deployment, job) DO UPDATE SET reason = coalesce(excluded.reason, p.reason) \
RETURNING paused_at, paused_by, reason";

/// All that is not as it would be without any control.
const LOOK: &str = "\
SELECT p.job, p.paused_at, p.paused_by, p.reason FROM {} AS p WHERE p.deployment = $1 \
UNION ALL \
SELECT r.job, NULL, NULL, NULL FROM {} AS r \
WHERE r.deployment = $1 AND r.ended_at IS NULL AND {}";

/// What is wanted of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobControl {
    pub job: String,
    pub paused: Option<Pause>,
    /// Whether there is something to do that nobody does yet.
    pub is_requested: bool,
}

/// Pauses and requests of the jobs of one deployment in one database.
#[derive(Clone, Debug)]
pub struct Control {
    connect: ConnectSettings,
    spares: Spares,
    state: StateSchema,
    deployment: String,
}

impl Control {
    /// Takes its connections from `spares`, and leaves them there.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] naming what cannot be a schema.
    pub fn new(
        connect: ConnectSettings,
        spares: Spares,
        state_schema: &str,
        deployment: &str,
    ) -> Result<Self, Error> {
        check_name("schema", state_schema)?;
        Ok(Self {
            connect,
            spares,
            state: StateSchema::new(state_schema),
            deployment: deployment.to_owned(),
        })
    }

    /// Keeps `job` from running, from its next run on, whether it is known yet or not; says since when.
    ///
    /// # Errors
    /// As for a claim.
    pub async fn pause(&self, job: &str, by: &str, reason: Option<&str>) -> Result<Pause, Error> {
        let doing = self.writing(format!("pause job {job}"));
        let link = self.link_to_write(&doing).await?;
        let sql = Sql::of(PAUSE, &[&self.state.table("pauses")]);
        let [deployment, job] = self.of(&job);
        let params = [deployment, job, (&by, Type::TEXT), (&reason, Type::TEXT)];
        let row = link.query_one(&sql, &params, &doing).await?;
        let pause = pause(&row, 0).map_err(|error| doing.failed(error, link.place()));
        self.spares.keep(link).await;
        pause
    }

    /// Lets `job` run again; says whether it was paused.
    ///
    /// # Errors
    /// As for a claim.
    pub async fn resume(&self, job: &str) -> Result<bool, Error> {
        let doing = self.writing(format!("resume job {job}"));
        let link = self.link_to_write(&doing).await?;
        let sql = "DELETE FROM {} WHERE deployment = $1 AND job = $2";
        let sql = Sql::of(sql, &[&self.state.table("pauses")]);
        let gone = link.execute(&sql, &self.of(&job), &doing).await?;
        self.spares.keep(link).await;
        Ok(gone > 0)
    }

    /// What is wanted of all jobs: those of which nothing is are not in it. Writes nothing.
    ///
    /// # Errors
    /// As for a connection; [`Error::NeedsOperator`] if the state must not be read.
    pub async fn look(&self) -> Result<Vec<JobControl>, Error> {
        let link = self.spares.connect(&self.connect, "control").await?;
        let found = self.look_by(&link).await?;
        self.spares.keep(link).await;
        Ok(found)
    }

    async fn look_by(&self, link: &Link) -> Result<Vec<JobControl>, Error> {
        let doing = Doing::new(format!("read what is wanted of jobs in {}", self.state))
            .needs(format!("SELECT ON ALL TABLES IN SCHEMA {}", self.state));
        let [pauses, requests] = ["pauses", "requests"].map(|name| self.state.table(name));
        let sql = Sql::of(LOOK, &[&pauses, &requests, &self.is_free()]);
        let params: [Param<'_>; 1] = [(&self.deployment, Type::TEXT)];
        let rows = match link.try_query(&sql, &params).await {
            Ok(rows) => rows,
            Err(error) if migrations::is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(doing.failed(error, link.place())),
        };
        let mut found = Vec::<JobControl>::new();
        for row in rows {
            let (job, paused) = (row.get(0), row.get::<_, Option<Moment>>(1).is_some());
            let place = found.iter().position(|known| known.job == job);
            let place = place.unwrap_or_else(|| {
                found.push(JobControl {
                    job,
                    ..JobControl::default()
                });
                found.len() - 1
            });
            match paused {
                true => {
                    let pause =
                        pause(&row, 1).map_err(|error| doing.failed(error, link.place()))?;
                    found[place].paused = Some(pause);
                }
                false => found[place].is_requested = true,
            }
        }
        Ok(found)
    }

    /// Whether the request `r` is done by nobody: it was not taken, or who took it has not worked on the
    /// job for a while.
    fn is_free(&self) -> Sql {
        let [jobs, leases] = ["jobs", "leases"].map(|name| self.state.table(name));
        Sql::of(
            "(r.taken_at IS NULL \
            OR r.taken_at < pg_catalog.clock_timestamp() - interval '1 minute' AND NOT {})",
            &[&is_held(&jobs, &leases)],
        )
    }

    /// The values of `$1` and `$2`: deployment and job.
    fn of<'a>(&'a self, job: &'a &str) -> [Param<'a>; 2] {
        [(&self.deployment, Type::TEXT), (job, Type::TEXT)]
    }

    fn writing(&self, what: String) -> Doing {
        Doing::new(what).needs(format!(
            "ALL ON ALL TABLES IN SCHEMA {:?}",
            self.state.name()
        ))
    }

    /// A connection to a state that has a place for it.
    async fn link_to_write(&self, doing: &Doing) -> Result<Link, Error> {
        let link = self.spares.connect(&self.connect, "control").await?;
        if link.recovering() {
            return Err(
                Error::transient(format!("cannot {doing}: {} is a standby", link.place()))
                    .advise("name the primary in the url, or wait for the end of the failover"),
            );
        }
        migrations::bring_up(&link, &self.state).await?;
        Ok(link)
    }
}

/// Whether somebody is alive who works on the job of the request `r`.
fn is_held(jobs: &Sql, leases: &Sql) -> Sql {
    let sql = "EXISTS (SELECT FROM {} AS j JOIN {} AS l ON l.job_id = j.job_id \
        WHERE j.deployment = r.deployment AND j.name = r.job AND {} AND NOT {})";
    Sql::of(sql, &[jobs, leases, &is_alive(), &has_expired()])
}

/// The pause of a job whose state has a place for it.
pub(super) async fn pause_of(
    link: &Link,
    state: &StateSchema,
    job: &JobKey,
    doing: &Doing,
) -> Result<Option<Pause>, Error> {
    let sql = Sql::of(PAUSE_OF, &[&state.table("pauses")]);
    let params: [Param<'_>; 2] = [(&job.deployment, Type::TEXT), (&job.name, Type::TEXT)];
    let rows = link.query(&sql, &params, doing).await?;
    let found = rows.first().map(|row| pause(row, 0)).transpose();
    found.map_err(|error| doing.failed(error, link.place()))
}

/// Reads since when, by whom and why, the first of them at `first`.
fn pause(row: &Row, first: usize) -> Result<Pause, tokio_postgres::Error> {
    Ok(Pause {
        since: row.try_get::<_, Moment>(first)?.0,
        by: row.try_get(first + 1)?,
        reason: row.try_get(first + 2)?,
    })
}
