//! Who and what: names of jobs, holders of leases, epochs, fingerprints.

use std::fmt;

use crate::TargetColumn;

/// The name of a job, unique in a target database: the deployment that declares it and its name
/// there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    pub deployment: String,
    pub name: String,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.deployment, self.name)
    }
}

/// What the rows of a target depend on besides its source's history. Where `rows` differs, the
/// target's rows are not to be trusted and the job refreshes; where `key` differs, it halts; where
/// `columns` differ, it depends on how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The key columns, in order.
    pub key: Vec<String>,
    /// A digest of filter, time zone and encoding.
    pub rows: String,
    /// What the target was made from.
    pub columns: Vec<TargetColumn>,
    /// The greatest number that the source ever gave to a column; zero where it numbers none. A
    /// column that is not among these and has no greater number was there before.
    pub columns_made: u64,
}

/// Who holds a lease, in words an operator can act on: host, process and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(pub String);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a lease. Each claim of a job gets a greater one; a write under an older one is
/// refused inside its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);
