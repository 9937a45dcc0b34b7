//! What a target is given: how to reach the server, which job it serves, which table it writes.

use std::time::Duration;

use lakeferry_model::{BadRows, Guard, JobKey, OwnColumns};

use crate::{connect::ConnectSettings, error::Error, sql::Table, target::state::StateSchema};

/// The longest identifier of Postgres, in bytes (`NAMEDATALEN` less one).
pub(crate) const MAX_NAME_BYTES: usize = 63;

/// Names that begin so are ours: staging tables, and columns of them.
pub(crate) const RESERVED: &str = "_lakeferry_";

/// The settings of one target.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    pub connect: ConnectSettings,
    /// The schema of the state, `lakeferry` by default.
    pub state_schema: String,
    pub job: JobKey,
    pub table: Table,
    /// The key columns, in order. Without any, the job fills and refreshes alone.
    pub key: Vec<String>,
    /// The comment that a table gets with its first fill.
    pub comment: Option<String>,
    /// After so long without a sign of life of its process, another one may end a session.
    pub lease: Duration,
    /// What one apply may delete.
    pub guard: Guard,
    /// Whether a column may be given a type for which the whole table is written anew.
    pub allow_rewrite: bool,
    /// What becomes of rows that Postgres cannot hold.
    pub bad_rows: BadRows,
    /// What the job writes by itself beside the source's columns.
    pub own: OwnColumns,
    /// How many connections to the server a run of the job may have at once.
    pub max_connections: u32,
}

impl TargetSettings {
    /// # Errors
    /// [`Error::NeedsOperator`] naming what cannot be a name in Postgres.
    pub(super) fn check(&self) -> Result<StateSchema, Error> {
        check_name("schema", &self.state_schema)?;
        check_name("schema", &self.table.schema)?;
        check_name("table", &self.table.name)?;
        Ok(StateSchema::new(&self.state_schema))
    }
}

/// # Errors
/// [`Error::NeedsOperator`] if Postgres would refuse the name or cut it off, or it is ours.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.contains('\0') {
        "holds the character NUL"
    } else if name.len() > MAX_NAME_BYTES {
        "has more than 63 bytes"
    } else if name.starts_with(RESERVED) {
        "begins with _lakeferry_, which is reserved"
    } else {
        return Ok(());
    };
    Err(
        Error::needs_operator(format!("the {what} name {name:?} {why}"))
            .advise("give it another name in the target"),
    )
}
