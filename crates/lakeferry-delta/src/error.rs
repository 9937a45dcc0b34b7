//! What can go wrong with a Delta table, by what has to be done about it.

use std::error::Error as StdError;

use lakeferry_model::{Failure, FailureClass};

pub(crate) type Cause = Box<dyn StdError + Send + Sync>;
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a Delta source. Every variant names the table and is one remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Storage did not answer, or not in time: try again.
    #[error("table {table}: cannot {doing}")]
    Unreachable {
        table: String,
        doing: String,
        source: Cause,
    },
    /// The table or its log changed under the reader: start again from the watermark.
    #[error("table {table}: {what} while it was read")]
    Moved { table: String, what: String },
    /// What stands at the location is not a table that can be read: change the location, its
    /// access or the table.
    #[error("table {table}: {what}")]
    Unreadable {
        table: String,
        what: String,
        hint: &'static str,
        source: Option<Cause>,
    },
    /// The job's columns or filter do not fit the table: change the job.
    #[error("table {table}: {what}")]
    Unfit {
        table: String,
        what: String,
        hint: String,
        source: Option<Cause>,
    },
    /// Changes or rows that the log names are gone from storage: rebuild the target.
    #[error("table {table}: {what}")]
    Lost {
        table: String,
        what: String,
        source: Option<Cause>,
    },
    /// An assumption of ours does not hold: report it.
    #[error("table {table}: {what}")]
    Broken {
        table: String,
        what: String,
        source: Option<Cause>,
    },
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Unreachable { .. } | Self::Moved { .. } => FailureClass::Transient,
            Self::Unreadable { .. } | Self::Unfit { .. } | Self::Lost { .. } => {
                FailureClass::NeedsOperator
            }
            Self::Broken { .. } => FailureClass::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } | Self::Moved { .. } => None,
            Self::Unreadable { hint, .. } => Some((*hint).to_owned()),
            Self::Unfit { hint, .. } => Some(hint.clone()),
            Self::Lost { .. } => {
                Some("rebuild the target from the table as it is now: backfill the job".to_owned())
            }
            Self::Broken { .. } => Some("report this as a bug of lakeferry".to_owned()),
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

/// How an error of the kernel or of storage reads, once its causes are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file that was asked for is not there.
    Missing,
    /// Access is refused.
    Refused,
    /// Anything else that storage does.
    Storage,
    /// The table asks for what no reader of ours can do.
    Unsupported,
    /// The bytes are there and make no sense.
    Malformed,
}

/// Looks through the causes of `error` for what storage said.
pub(crate) fn kind_of(error: &(dyn StdError + 'static)) -> Kind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(kind) = kind_here(error) {
            return kind;
        }
        next = error.source();
    }
    Kind::Malformed
}

fn kind_here(error: &(dyn StdError + 'static)) -> Option<Kind> {
    use object_store::Error as Store;
    if let Some(error) = error.downcast_ref::<delta_kernel::Error>() {
        return kind_of_kernel(error);
    }
    if let Some(error) = error.downcast_ref::<Store>() {
        return Some(match error {
            Store::NotFound { .. } => Kind::Missing,
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Kind::Refused,
            Store::Generic { source, .. } => match kind_of(source.as_ref()) {
                Kind::Malformed => Kind::Storage,
                kind => kind,
            },
            _ => Kind::Storage,
        });
    }
    let error = error.downcast_ref::<std::io::Error>()?;
    Some(match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Kind::Missing,
        std::io::ErrorKind::PermissionDenied => Kind::Refused,
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => Kind::Malformed,
        _ => Kind::Storage,
    })
}

/// The kernel's errors do not all name their cause as a source.
fn kind_of_kernel(error: &delta_kernel::Error) -> Option<Kind> {
    use delta_kernel::{Error as Kernel, parquet::errors::ParquetError};
    match error {
        Kernel::Backtraced { source, .. } => Some(kind_of(source.as_ref())),
        Kernel::ObjectStore(source) => Some(kind_of(source)),
        Kernel::IOError(source) => Some(kind_of(source)),
        Kernel::GenericError { source } => Some(kind_of(source.as_ref())),
        Kernel::Parquet(ParquetError::External(source)) => Some(kind_of(source.as_ref())),
        Kernel::Arrow(source) => match source {
            arrow_schema::ArrowError::ExternalError(source) => Some(kind_of(source.as_ref())),
            arrow_schema::ArrowError::IoError(_, source) => Some(kind_of(source)),
            _ => None,
        },
        Kernel::FileNotFound(_) => Some(Kind::Missing),
        Kernel::Unsupported(_) | Kernel::MaxCatalogVersion(_) => Some(Kind::Unsupported),
        Kernel::JoinFailure(_) | Kernel::Reqwest(_) => Some(Kind::Storage),
        _ => None,
    }
}

/// `error` as a cause, without the backtrace that the kernel may wrap around its own.
pub(crate) fn cause(error: impl StdError + Send + Sync + 'static) -> Cause {
    let error: Cause = Box::new(error);
    match error.downcast::<delta_kernel::Error>() {
        Ok(kernel) => match *kernel {
            delta_kernel::Error::Backtraced { source, .. } => source,
            other => Box::new(other),
        },
        Err(error) => error,
    }
}

/// The error of a failed read of the table itself, where nothing better is known.
pub(crate) fn failed(
    table: &str,
    doing: &str,
    error: impl StdError + Send + Sync + 'static,
) -> Error {
    let (table, source) = (table.to_owned(), cause(error));
    match kind_of(source.as_ref()) {
        Kind::Missing | Kind::Storage => Error::Unreachable {
            table,
            doing: doing.to_owned(),
            source,
        },
        Kind::Refused => Error::Unreadable {
            table,
            what: format!("access is refused: cannot {doing}"),
            hint: "grant read and list access to the whole table, `_delta_log` included",
            source: Some(source),
        },
        Kind::Unsupported => Error::Unreadable {
            table,
            what: format!("cannot {doing}: {}", unsupported(source.as_ref())),
            hint: "drop the table feature, or sync a copy of the table without it",
            source: None,
        },
        Kind::Malformed => Error::Unreadable {
            table,
            what: format!("cannot {doing}"),
            hint: "check the table with the engine that writes it",
            source: Some(source),
        },
    }
}

/// What a table asks for that no reader of ours can do, in the kernel's words where they are clear.
fn unsupported(error: &(dyn StdError + 'static)) -> String {
    match error.downcast_ref::<delta_kernel::Error>() {
        Some(delta_kernel::Error::Unsupported(what)) => what.clone(),
        Some(delta_kernel::Error::MaxCatalogVersion(_)) => {
            "feature 'catalogManaged' is not supported".to_owned()
        }
        _ => error.to_string(),
    }
}
