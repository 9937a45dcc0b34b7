//! The one place where what tokio-postgres reports becomes an [`Error`]: by SQLSTATE (Postgres
//! manual, appendix A) where the server spoke, as a broken connection where it did not.
//!
//! Details and contexts of the server's messages are left out: they repeat a row's values.

use std::{error::Error as StdError, io};

use lakeferry_model::FailureClass;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::Error;

/// What was tried, for the message and the hint.
#[derive(Clone, Debug)]
pub(crate) struct Doing {
    /// In words that follow "cannot".
    what: String,
    /// What it takes, in words that follow GRANT.
    privilege: Option<String>,
    /// Whether rows of the source are on their way, so that a value can be at fault.
    moves_rows: bool,
    /// What it locks, if somebody else may.
    locks: Option<String>,
}

impl Doing {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            privilege: None,
            moves_rows: false,
            locks: None,
        }
    }

    /// As [`Doing::new`], with rows of the source that may be at fault.
    pub(crate) fn rows(what: impl Into<String>) -> Self {
        Self {
            moves_rows: true,
            ..Self::new(what)
        }
    }

    pub(crate) fn needs(mut self, privilege: impl Into<String>) -> Self {
        self.privilege = Some(privilege.into());
        self
    }

    pub(crate) fn locks(mut self, object: impl Into<String>) -> Self {
        self.locks = Some(object.into());
        self
    }

    /// `error` in the words of this crate; `place` is user, host and database.
    pub(crate) fn failed(&self, error: tokio_postgres::Error, place: &Place) -> Error {
        if let Some(refusal) = error.as_db_error() {
            return self.refused(refusal, place);
        }
        let what = format!("cannot {self} ({place})");
        let report = match is_lost(&error) {
            true => Error::transient(format!("{what}: no connection")),
            false => Error::bug(what),
        };
        report.caused_by(error)
    }

    /// What the server said, in the words of this crate.
    pub(crate) fn refused(&self, refusal: &DbError, place: &Place) -> Error {
        let what = format!("cannot {self} ({place})");
        let code = refusal.code();
        let class = match class_of(code) {
            FailureClass::BadRow if is_no_partition(refusal) => FailureClass::NeedsOperator,
            FailureClass::BadRow if !self.moves_rows => FailureClass::Bug,
            class => class,
        };
        let report = match class {
            FailureClass::Transient => Error::transient(what),
            FailureClass::Unready => Error::unready(what),
            FailureClass::BadRow => Error::bad_row(what),
            FailureClass::NeedsOperator => Error::needs_operator(what),
            FailureClass::Bug => Error::bug(what),
        };
        let report = match hint_by_routine(refusal, place).or_else(|| self.hint_for(code, place)) {
            Some(hint) => report.advise(hint),
            // The server's own, which names objects and not values.
            None => match refusal.hint() {
                Some(hint) => report.advise(hint),
                None => report,
            },
        };
        report.caused_by(Refusal::of(refusal))
    }

    fn hint_for(&self, code: &SqlState, place: &Place) -> Option<String> {
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            let user = &place.user;
            return Some(match &self.privilege {
                Some(privilege) => format!("GRANT {privilege} TO \"{user}\""),
                None => format!("grant {user:?} what the server asks for"),
            });
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            let object = self.locks.as_deref().unwrap_or("it");
            return Some(format!("end the session that holds a lock on {object}"));
        }
        let hint = match code.code() {
            "53300" => "raise max_connections of the server, or close other sessions of this role",
            "53100" => "free disk space on the server; the next run goes on from the watermark",
            "57P01" | "57P02" => "the server or an operator ended the session; run it again",
            "57014" => "an operator cancelled the statement; run it again",
            "40P01" => "another session takes the same locks in another order; run it again",
            "25006" | "57P03" => "the server is a standby or starting; name the primary in the url",
            "3D000" => "create the database, or correct its name in the url",
            "3F000" => "create the schema, or correct its name",
            "28P01" | "28000" => "correct user and password, or the server's pg_hba.conf",
            "23502" => "give the target's own column a default, or drop its NOT NULL",
            "23P01" => "declare the target's own exclusion constraint DEFERRABLE, or drop it",
            "42P10" => "let what the publication wants be part of the table's REPLICA IDENTITY",
            "P0001" => "a trigger of the target refuses the write; change it, or disable it",
            code if code.starts_with("22") || code.starts_with("54") || code == "23514" => {
                "correct the value in the source, or keep such rows out by the job's filter"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What its code does not tell, the place in the server's source does; messages are translated.
fn hint_by_routine(refusal: &DbError, place: &Place) -> Option<String> {
    if is_no_partition(refusal) {
        return Some("add a partition that takes the row, or a DEFAULT partition".to_owned());
    }
    (refusal.routine() == Some("check_enable_rls")).then(|| rls_hint(&place.user))
}

fn is_no_partition(refusal: &DbError) -> bool {
    refusal.routine() == Some("ExecFindPartition")
}

/// What to do where row-level security would hide rows.
pub(crate) fn rls_hint(user: &str) -> String {
    format!("ALTER ROLE {user:?} BYPASSRLS, or make it the owner of the table")
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// Where a connection leads, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) database: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            user,
            host,
            database,
        } = self;
        write!(f, "{user}@{host}/{database}")
    }
}

/// What the server said.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
struct Refusal {
    message: String,
    code: String,
}

impl Refusal {
    fn of(error: &DbError) -> Self {
        Self {
            message: error.message().to_owned(),
            code: error.code().code().to_owned(),
        }
    }
}

/// `report` with what the server said beneath it.
pub(crate) fn caused_by(report: Error, error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(refusal) => report.caused_by(Refusal::of(refusal)),
        None => report.caused_by(error),
    }
}

/// Whether the server refused the statement for certain: it answered, and lives on. Where it did
/// not, a COMMIT may have been carried out.
pub(crate) fn is_certain(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    severity == Some(Severity::Error)
}

/// Whether there is no connection, or none any more.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || error
            .source()
            .is_some_and(|source| source.is::<io::Error>())
}

/// Whether the server answered with this SQLSTATE.
pub(crate) fn is(error: &tokio_postgres::Error, code: &SqlState) -> bool {
    error.code() == Some(code)
}

fn class_of(code: &SqlState) -> FailureClass {
    let code = code.code();
    match (&code[..2.min(code.len())], code) {
        (_, "40001" | "40P01" | "55P03" | "57014" | "25006" | "25P03" | "25P04") => {
            FailureClass::Transient
        }
        ("08" | "53" | "57" | "58", _) => FailureClass::Transient,
        // The row that a foreign key wants may come with the next run of another job.
        (_, "23001" | "23503") => FailureClass::Unready,
        ("22" | "54", _) | (_, "23514") => FailureClass::BadRow,
        ("23" | "28" | "3D" | "3F" | "0A" | "P0" | "55", _)
        | (_, "42501" | "42P10" | "42P01" | "42703" | "42704" | "42P07" | "42710") => {
            FailureClass::NeedsOperator
        }
        _ => FailureClass::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_classes() {
        for (codes, class) in [
            (
                "08006 08P01 40001 40P01 55P03 57P01 57P03 53300 53100",
                FailureClass::Transient,
            ),
            ("25006 57014 58030 25P03", FailureClass::Transient),
            ("22003 22021 54000 54011 23514", FailureClass::BadRow),
            ("23001 23503", FailureClass::Unready),
            (
                "23502 23505 42501 42P10 3D000 28P01 28000 P0001",
                FailureClass::NeedsOperator,
            ),
            ("42P01 42703 3F000", FailureClass::NeedsOperator),
            ("42601 XX000 26000", FailureClass::Bug),
        ] {
            for code in codes.split(' ') {
                assert_eq!(class_of(&SqlState::from_code(code)), class, "{code}");
            }
        }
    }

    #[test]
    fn a_refused_permission_comes_with_its_grant() {
        let place = Place {
            user: "ferry".to_owned(),
            host: "db".to_owned(),
            database: "app".to_owned(),
        };
        let doing = Doing::new("create schema lakeferry").needs("CREATE ON DATABASE \"app\"");
        let hint = doing.hint_for(&SqlState::INSUFFICIENT_PRIVILEGE, &place);
        assert_eq!(
            hint.as_deref(),
            Some("GRANT CREATE ON DATABASE \"app\" TO \"ferry\"")
        );
    }
}
