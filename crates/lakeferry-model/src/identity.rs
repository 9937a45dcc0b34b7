//! Who and what: names of jobs, holders of leases, epochs, fingerprints.

use std::fmt;

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
/// target's rows are not to be trusted and the job refreshes; where `key` differs, it halts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The key columns, in order.
    pub key: Vec<String>,
    /// A digest of filter, columns, types, time zone and encoding.
    pub rows: String,
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
