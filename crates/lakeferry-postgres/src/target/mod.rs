//! Postgres as a target: a table that is always a version of its source, and the state beside it.
//!
//! ```text
//! inspect                                   a look: no claim, no transaction id, no wait
//! claim      ─→ migrations, claim           the lease, and the settled state
//! fill       ─→ filling, loader, copy       pieces of a first fill, each for good
//! alter      ─→ alter                       columns in step with the source's, behind the fence
//! stage, put ─→ shape, staging, copy        rows wait beside the target
//!               aside                         bad ones wait in memory
//! apply      ─→ fence, then                 one transaction
//!               fill | refresh | changes | append | adopt  rows
//!               sift, aside                   those that the server refuses
//!               state                         progress, run
//! ```

mod adopt;
mod alter;
mod append;
mod apply;
mod aside;
mod changes;
mod claim;
mod columns;
mod compatibility;
mod control;
mod copy;
mod ddl;
mod duplicates;
mod extension_types;
mod fence;
mod fill;
mod filling;
mod hazards;
mod history;
mod inspect;
mod kept_columns;
mod key_index;
mod lease;
mod loader;
mod migrations;
mod multiset;
mod own;
mod parking;
mod previous;
mod privileges;
mod publications;
mod quarantine;
mod refresh;
mod refusal;
mod reserved;
mod reset;
mod rivals;
mod session;
mod settings;
mod shape;
mod sift;
mod staging;
mod standing;
mod state;
mod status;
mod unfinished;

#[cfg(test)]
mod tests;

use std::{marker::PhantomData, sync::Arc};

use arrow_schema::Schema;
use lakeferry_model::{Claim, Holder, Position, Session as _, Standing, Target};

pub use self::{
    alter::ddl_of,
    control::{
        Control, JobControl,
        requests::{Answer, Followed, Request, RequestKind, Taken},
    },
    ddl::{check_types, ddl_for},
    history::read_history,
    loader::PostgresLoader,
    quarantine::{QuarantinedRow, Wanted, drop_quarantined, read_quarantine},
    reset::Removed,
    session::PostgresSession,
    settings::TargetSettings,
    status::{JobStatus, Run, read_status},
};
use self::{
    columns::{Column, Columns},
    state::StateSchema,
};
use crate::{error::Error, link::Link, spares::Spares};

/// Names how rows are stored; a job refreshes when it changes. See [`crate::encode`].
const ENCODING: &str = "postgres-1";

/// The settings of a target, checked.
#[derive(Debug)]
struct Job {
    settings: TargetSettings,
    state: StateSchema,
    spares: Spares,
}

/// The [`Target`] of Postgres. Every call opens a connection of its own, or takes a spare one; none is
/// held in between but by a session.
#[derive(Debug)]
pub struct PostgresTarget<P> {
    job: Arc<Job>,
    position: PhantomData<fn() -> P>,
}

impl<P> Clone for PostgresTarget<P> {
    fn clone(&self) -> Self {
        Self {
            job: Arc::clone(&self.job),
            position: PhantomData,
        }
    }
}

impl<P: Position> PostgresTarget<P> {
    /// # Errors
    /// [`Error::NeedsOperator`] naming a setting that Postgres cannot take.
    pub fn new(settings: TargetSettings) -> Result<Self, Error> {
        Self::with_spares(settings, Spares::default())
    }

    /// As [`PostgresTarget::new`], with connections that are kept in between.
    ///
    /// # Errors
    /// As there.
    pub fn with_spares(settings: TargetSettings, spares: Spares) -> Result<Self, Error> {
        let state = settings.check()?;
        Ok(Self {
            job: Arc::new(Job {
                settings,
                state,
                spares,
            }),
            position: PhantomData,
        })
    }

    /// Removes what earlier runs left behind: what an unfinished fill has loaded, and staging. If
    /// `forgets`, also what the state knows of the target, which itself stays as it is.
    ///
    /// Refused while another holder is alive. Creates nothing.
    ///
    /// # Errors
    /// As for a claim.
    pub async fn reset(&self, holder: &Holder, forgets: bool) -> Result<Claim<Removed>, Error> {
        let link = self.connect().await?;
        let is_known = inspect::is_known(&link, &self.job.settings, &self.job.state).await?;
        link.close().await;
        if !is_known {
            return Ok(Claim::Granted(Removed::default()));
        }
        match Box::pin(self.claim(holder)).await? {
            Claim::Held(holder) => Ok(Claim::Held(holder)),
            Claim::Granted(session) => {
                let removed = Box::pin(session.reset(forgets)).await?;
                session.release().await?;
                Ok(Claim::Granted(removed))
            }
        }
    }

    /// The names of publications FOR ALL TABLES: they carry what a first fill loads, as it is loaded.
    ///
    /// # Errors
    /// As for a connection.
    pub async fn publications_for_all_tables(&self) -> Result<Vec<String>, Error> {
        let link = self.connect().await?;
        let names = publications::for_all_tables(&link).await?;
        link.close().await;
        Ok(names)
    }

    /// What keeps a first fill from making a table for rows of `schema`: types of extensions that are
    /// not there.
    ///
    /// # Errors
    /// As for a connection.
    pub async fn missing_types(&self, schema: &Schema) -> Result<Option<Error>, Error> {
        let mut columns = Columns::new(schema, &self.job.settings.key)?;
        if !columns.iter().any(Column::is_of_extension) {
            return Ok(None);
        }
        let link = self.connect().await?;
        let missing = match extension_types::locate(&link, &mut columns).await {
            Ok(()) => None,
            Err(missing @ Error::NeedsOperator(_)) => Some(missing),
            Err(error) => return Err(error),
        };
        link.close().await;
        Ok(missing)
    }

    async fn connect(&self) -> Result<Link, Error> {
        let Job {
            settings, spares, ..
        } = self.job.as_ref();
        spares.connect(&settings.connect, &settings.job.name).await
    }
}

impl<P: Position> Target for PostgresTarget<P> {
    type Position = P;
    type Error = Error;
    type Session = PostgresSession<P>;

    fn encoding(&self) -> &'static str {
        ENCODING
    }

    async fn inspect(&self) -> Result<Standing<P>, Error> {
        let link = self.connect().await?;
        let standing = inspect::inspect(&link, &self.job.settings, &self.job.state).await?;
        self.job.spares.keep(link).await;
        Ok(standing)
    }

    async fn claim(&self, holder: &Holder) -> Result<Claim<PostgresSession<P>>, Error> {
        let link = self.connect().await?;
        let job = &self.job;
        match claim::claim(&link, &job.settings, &job.state, holder).await? {
            Claim::Held(holder) => {
                job.spares.keep(link).await;
                Ok(Claim::Held(holder))
            }
            Claim::Granted(claimed) => {
                let session = PostgresSession::new(link, Arc::clone(job), claimed);
                Ok(Claim::Granted(session))
            }
        }
    }
}
