//! The one transaction: fence, rows, progress, and nothing of them without the others.

use lakeferry_model::{
    Applied, BadRowCounts, Differences, Fingerprint, OnBadValue, Position, Progress, RowCounts,
    Watermark,
};
use tokio_postgres::types::Type;

use crate::{
    error::Error,
    link::Link,
    sql::Sql,
    sqlstate::{Doing, is_certain},
    target::{
        aside::Quarantined,
        columns::Columns,
        fence::{self, Fence, Hold, LockMode},
        own::{self, Marks},
        refusal,
        settings::TargetSettings,
        shape::{self, Shape},
        sift::{BEFORE_ROWS, sift_long_texts},
        staging::Staged,
        state::{Moment, StateSchema, bigint},
    },
};

/// Begins a transaction that waits for a lock no longer than it is worth: whoever holds one may
/// hold it for hours, and meanwhile the progress is locked.
pub(super) const BEGIN_PATIENTLY: &str = "BEGIN; SET LOCAL lock_timeout = '30s'";

/// How an apply ended, unless with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Ended {
    /// With the OID of the target from now on.
    Applied {
        applied: Applied,
        oid: Option<u32>,
        /// Rows in quarantine from now on; absent where they are as they were.
        quarantined: Option<u64>,
    },
    Fenced,
    /// The answer to COMMIT never came; the rows that it would have written.
    Unknown {
        applied: Applied,
    },
    /// The table is not the one to adopt.
    Differs(Differences),
    /// A row without a key went that is not in quarantine.
    Unmatched,
}

/// A target that exists, as the lock of an apply keeps it.
#[derive(Debug)]
pub(super) struct Locked {
    /// The staged ones, with what they are in the target.
    pub(super) columns: Columns,
    pub(super) shape: Shape,
    pub(super) marks: Marks,
}

/// What an apply starts from and where it leads.
#[derive(Debug)]
pub(super) struct Apply<'a, P> {
    pub(super) link: &'a Link,
    pub(super) settings: &'a TargetSettings,
    pub(super) state: &'a StateSchema,
    pub(super) hold: Hold,
    pub(super) before: Option<&'a Progress<P>>,
    pub(super) after: (&'a Watermark<P>, &'a Fingerprint),
    /// Of what has the target's name, as the claim found it or the last apply left it.
    pub(super) oid: Option<u32>,
    /// Whether that is the table that the job filled.
    pub(super) is_filled: bool,
}

impl<P: Position> Apply<'_, P> {
    /// Moves the progress alone.
    pub(super) async fn progress_only(&self) -> Result<Ended, Error> {
        self.begin().await?;
        let mut fence = self.fence().await?;
        if fence == Fence::Open {
            fence = fence::same_table(self.link, &self.settings.table, self.oid).await?;
        }
        match fence {
            Fence::Open => {
                let nothing = RowCounts::default();
                self.commit(nothing, None, self.oid).await
            }
            Fence::Shut => self.shut().await,
        }
    }

    pub(super) fn doing(&self) -> Doing {
        let table = &self.settings.table;
        Doing::rows(format!("apply rows to {table}")).locks(table.to_string())
    }

    pub(super) async fn batch(&self, sql: impl Into<Sql>) -> Result<(), Error> {
        self.link.batch(&sql.into(), &self.doing()).await
    }

    /// Runs one statement and says how many rows it touched.
    pub(super) async fn execute(&self, sql: &Sql) -> Result<u64, Error> {
        match self.link.try_execute(sql, &[]).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(refusal::told(self, error).await),
        }
    }

    pub(super) async fn count(&self, sql: &Sql) -> Result<u64, Error> {
        let row = self.link.query_one(sql, &[], &self.doing()).await?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    pub(super) async fn begin(&self) -> Result<(), Error> {
        self.batch(BEGIN_PATIENTLY).await
    }

    pub(super) async fn fence(&self) -> Result<Fence, Error> {
        fence::move_progress(self.link, self.state, self.hold, self.before, self.after).await
    }

    /// The fence, for an apply to a table that exists: from here on it cannot be altered.
    /// What it was found to be before the stage is looked at once more, now that it stays so.
    /// Nothing comes back where the fence is shut. From here on, `before_rows` is a savepoint.
    pub(super) async fn fence_and_lock(
        &self,
        staged: &mut Staged,
    ) -> Result<Option<Locked>, Error> {
        let (table, Some(oid)) = (&self.settings.table, self.oid) else {
            return Ok(None);
        };
        if self.fence().await? == Fence::Shut {
            return Ok(None);
        }
        let mode = match self.is_filled {
            true => LockMode::KeepShape,
            false => LockMode::KeepRows,
        };
        if fence::lock_target(self.link, table, oid, mode).await? == Fence::Shut {
            return Ok(None);
        }
        let mut columns = staged.columns.clone();
        let own = self.settings.own;
        let shape = shape::check(self.link, table, oid, (&mut columns, own)).await?;
        if !columns.are_collated_as(&staged.columns) {
            return Err(Error::transient(format!(
                "{table} was altered while rows for it were staged"
            )));
        }
        match staged.aside.allows().on_bad_value {
            OnBadValue::Halt => {
                let place = staged.place.sql();
                self.refuse_long_texts(&columns, &place).await?;
            }
            _ => sift_long_texts(self, &columns, staged).await?,
        }
        let defer = "SET CONSTRAINTS ALL DEFERRED; {}";
        self.batch(Sql::of(defer, &[&BEFORE_ROWS.into()])).await?;
        let marks = Marks::new(own, self.after.0.version.to_number());
        Ok(Some(Locked {
            columns,
            shape,
            marks,
        }))
    }

    /// The server would cut off blanks at the end of a text that is too long, without a word, and
    /// refuse others without a name.
    async fn refuse_long_texts(&self, columns: &Columns, place: &Sql) -> Result<(), Error> {
        let table = &self.settings.table;
        for (column, limit) in columns.limited() {
            let name = Sql::name(&column.name);
            let limit_sql = Sql::number(limit.into());
            let sql = "SELECT count(*) FROM {} WHERE pg_catalog.char_length({}) > {}";
            let count = self
                .count(&Sql::of(sql, &[place, &name, &limit_sql]))
                .await?;
            if count > 0 {
                let widen = Sql::of(
                    "ALTER TABLE {} ALTER COLUMN {} TYPE text",
                    &[&table.sql(), &name],
                );
                return Err(Error::bad_row(format!(
                    "column {:?} of {table} takes {limit} characters, and {count} rows have more",
                    column.name
                ))
                .advise(format!(
                    "{}, or keep such rows out by the job's filter",
                    widen.as_str()
                )));
            }
        }
        Ok(())
    }

    /// Lets what is deferred to COMMIT happen now, where a trigger of a user's may be in it: after
    /// this, nothing changes the rows any more.
    pub(super) async fn settle(&self, shape: &Shape) -> Result<(), Error> {
        if !shape.triggers.is_empty() {
            self.execute(&"SET CONSTRAINTS ALL IMMEDIATE".into())
                .await?;
        }
        Ok(())
    }

    pub(super) async fn shut(&self) -> Result<Ended, Error> {
        self.batch("ROLLBACK").await?;
        Ok(Ended::Fenced)
    }

    /// Refuses deletes that the guard does not allow, after they were done and before the first of
    /// `inserted` rows comes; the transaction ends with the error.
    ///
    /// # Errors
    /// [`Error::NeedsOperator`] with the counts.
    pub(super) async fn guard(&self, deleted: u64, inserted: u64) -> Result<(), Error> {
        let TargetSettings {
            guard, job, table, ..
        } = self.settings;
        let limit = guard.rows_to_count(deleted, inserted);
        if limit == 0 {
            return Ok(());
        }
        // As many as a server can count.
        let limit = Sql::number(limit.min(i64::MAX.unsigned_abs()));
        let remaining = self.count_live(&limit).await?;
        match guard.refusal(deleted, inserted, remaining) {
            None => Ok(()),
            Some(refusal) => {
                let what = format!("{table} would lose {refusal}; nothing was changed");
                Err(Error::needs_operator(what).advise(refusal.hint(&job.name)))
            }
        }
    }

    /// How many rows the target has, up to `limit`; where deleted rows stay, those that live.
    pub(super) async fn count_live(&self, limit: &Sql) -> Result<u64, Error> {
        let (table, live) = (
            self.settings.table.sql(),
            own::where_live(self.settings.own),
        );
        let sql = "SELECT count(*) FROM (SELECT FROM {} AS t{} LIMIT {}) AS live";
        self.count(&Sql::of(sql, &[&table, &live, limit])).await
    }

    /// Notes which table the job fills.
    pub(super) async fn record_table(&self) -> Result<u32, Error> {
        let sql = "UPDATE {} SET target_oid = pg_catalog.to_regclass($1)::oid WHERE job_id = $2 \
            RETURNING target_oid";
        let sql = Sql::of(sql, &[&self.state.table("jobs")]);
        let name = self.settings.table.sql();
        let params: [_; 2] = [
            (&name.as_str() as _, Type::TEXT),
            (&self.hold.job_id as _, Type::UUID),
        ];
        let row = self.link.query_one(&sql, &params, &self.doing()).await?;
        let oid: Option<u32> = row.get(0);
        oid.ok_or_else(|| Error::bug(format!("{} is gone while locked", self.settings.table)))
    }

    pub(super) async fn record_run(
        &self,
        kind: &'static str,
        started: Moment,
        rows: RowCounts,
        bad: BadRowCounts,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO {} (job_id, epoch, kind, from_version, through_version, inserted, \
            updated, deleted, started_at, quarantined, released, nulled, replaced) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let sql = Sql::of(sql, &[&self.state.table("runs")]);
        let before = self
            .before
            .map(|progress| bigint(progress.watermark.version))
            .transpose()?;
        let through = bigint(self.after.0.version)?;
        let most = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let [inserted, updated, deleted] = [rows.inserted, rows.updated, rows.deleted].map(most);
        let BadRowCounts {
            quarantined,
            released,
            nulled,
            replaced,
        } = bad;
        let [quarantined, released] = [quarantined, released].map(most);
        let [nulled, replaced] = [nulled, replaced].map(most);
        let params: [_; 13] = [
            (&self.hold.job_id as _, Type::UUID),
            (&self.hold.epoch as _, Type::INT8),
            (&kind as _, Type::TEXT),
            (&before as _, Type::INT8),
            (&through as _, Type::INT8),
            (&inserted as _, Type::INT8),
            (&updated as _, Type::INT8),
            (&deleted as _, Type::INT8),
            (&started as _, Type::TIMESTAMPTZ),
            (&quarantined as _, Type::INT8),
            (&released as _, Type::INT8),
            (&nulled as _, Type::INT8),
            (&replaced as _, Type::INT8),
        ];
        self.link.execute(&sql, &params, &self.doing()).await?;
        Ok(())
    }

    /// `quarantined` is absent where that is as it was.
    pub(super) async fn commit(
        &self,
        rows: RowCounts,
        quarantined: Option<Quarantined>,
        oid: Option<u32>,
    ) -> Result<Ended, Error> {
        let bad = quarantined.map_or_else(BadRowCounts::default, |all| all.counts);
        let applied = Applied { rows, bad };
        match self.link.try_batch(&"COMMIT".into()).await {
            Ok(()) => Ok(Ended::Applied {
                applied,
                oid,
                quarantined: quarantined.map(|all| all.total),
            }),
            Err(error) if is_certain(&error) => Err(refusal::told(self, error).await),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "no answer to commit"
                );
                Ok(Ended::Unknown { applied })
            }
        }
    }
}
