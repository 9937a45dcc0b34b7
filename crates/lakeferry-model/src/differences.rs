//! How a table differs from what the source says it should be.

/// The most examples that are told of each kind of difference.
pub const MOST_EXAMPLES: usize = 5;

/// What keeps a table from being adopted; each key of both is in at most one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Keys of the source that the table does not have.
    pub missing: DifferingKeys,
    /// Keys of the table that the source does not have.
    pub surplus: DifferingKeys,
    /// Keys of both whose rows are not equal in every column of the job's.
    pub unlike: DifferingKeys,
}

/// Keys that differ in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DifferingKeys {
    pub count: u64,
    /// The first of them in the order of the key, at most [`MOST_EXAMPLES`]: values of the key's
    /// columns as text. For the operator who asked, never for logs.
    pub examples: Vec<String>,
}

impl Differences {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let all = [&self.missing, &self.surplus, &self.unlike];
        all.iter().all(|keys| keys.count == 0)
    }
}
