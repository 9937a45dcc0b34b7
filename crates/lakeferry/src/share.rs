//! How the connections that there may be to a target are parted among its runs.

/// Of one run: its own, the one that renews its lease, and one that loads.
pub(crate) const OF_A_RUN: u32 = 3;

/// As many as the runs have that there are at once by default. More would gain little, and the server is
/// not ours alone.
pub(crate) const MOST: u32 = 12;

/// What falls to the runs on one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) connections: u32,
    /// How many there may be at once; none where there are no connections.
    pub(crate) runs: u32,
    /// Of the connections, what each of them may have.
    pub(crate) per_run: u32,
}

impl Share {
    /// Of `connections`, where there are no more than `most_runs` to have them.
    pub(crate) fn of(connections: u32, most_runs: u32) -> Self {
        let runs = (connections / OF_A_RUN).min(most_runs);
        Self {
            connections,
            runs,
            per_run: connections.checked_div(runs).unwrap_or_default(),
        }
    }
}
