//! The guard against mass deletes: a source that was emptied by accident must not empty a target.

use std::fmt;

/// What one apply may delete.
///
/// | deletes | verdict |
/// |---|---|
/// | all rows that the target has, and none comes | refused, unless `allow_empty`, and then allowed |
/// | else more than `max_delete_share` of the rows that it had, of 1,000 or more | refused |
/// | anything else | allowed |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// From 0 to 1.
    pub max_delete_share: f64,
    pub allow_empty: bool,
}

/// Targets of fewer rows lose what their source loses: a share of a few rows means nothing.
const LEAST_ROWS: u64 = 1_000;

/// What is allowed where nobody says otherwise.
impl Default for Guard {
    fn default() -> Self {
        Self {
            max_delete_share: 0.2,
            allow_empty: false,
        }
    }
}

impl Guard {
    /// Allows everything.
    pub const OFF: Self = Self {
        max_delete_share: 1.0,
        allow_empty: true,
    };

    /// How many of the rows that remain after `deleted` have to be counted to be sure, before
    /// `inserted` others come: no more than in proportion to what was deleted, so that the cost
    /// follows the change. Zero if there is nothing to doubt.
    pub fn rows_to_count(&self, deleted: u64, inserted: u64) -> u64 {
        let mut count = 0;
        if !self.allow_empty && deleted > 0 && inserted == 0 {
            count = 1;
        }
        if self.max_delete_share < 1.0 && deleted as f64 > self.max_delete_share * LEAST_ROWS as f64
        {
            // Beyond 64 bits it is all of them.
            let enough = (deleted as f64 / self.max_delete_share).ceil() as u64;
            count = count.max(enough.saturating_sub(deleted).saturating_add(1));
        }
        count
    }

    /// Whether `deleted` rows are too many, `remaining` being the rows that remain, counted as far
    /// as [`Guard::rows_to_count`] says.
    pub fn refusal(&self, deleted: u64, inserted: u64, remaining: u64) -> Option<MassDelete> {
        let had = deleted.saturating_add(remaining);
        let empties = deleted > 0 && inserted == 0 && remaining == 0;
        let is_large = had >= LEAST_ROWS && deleted as f64 > self.max_delete_share * had as f64;
        let limit = match (empties, self.allow_empty) {
            (true, true) => return None,
            (true, false) => Limit::Empty,
            (false, _) => is_large.then_some(Limit::Share(self.max_delete_share))?,
        };
        Some(MassDelete {
            deleted,
            had,
            limit,
        })
    }
}

/// Deletes that a guard does not allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MassDelete {
    pub deleted: u64,
    /// How many rows there were.
    pub had: u64,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Empty,
    Share(f64),
}

impl MassDelete {
    /// What to do about it, for the job of this name.
    pub fn hint(&self, job: &str) -> String {
        let setting = match self.limit {
            Limit::Empty => "allow_empty: true",
            Limit::Share(_) => "a larger max_delete_share",
        };
        format!(
            "if the source is right, let it through once: lakeferry sync {job} --accept-deletes; \
             or give the job {setting}"
        )
    }
}

/// What would be deleted, and what is allowed: `46604 of 46604 rows …`.
impl fmt::Display for MassDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            deleted,
            had,
            limit,
        } = self;
        match limit {
            Limit::Empty => write!(f, "all {deleted} rows, and none would come"),
            Limit::Share(share) => {
                let percent = share * 100.0;
                write!(
                    f,
                    "{deleted} of {had} rows, and max_delete_share allows {percent} %"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on `deleted` of `had` rows, counted as far as a target counts them.
    fn is_refused(guard: Guard, deleted: u64, had: u64, inserted: u64) -> bool {
        let remaining = (had - deleted).min(guard.rows_to_count(deleted, inserted));
        guard.refusal(deleted, inserted, remaining).is_some()
    }

    #[test]
    fn verdicts() {
        let default = Guard::default();
        let none = Guard {
            max_delete_share: 0.0,
            allow_empty: true,
        };
        for (guard, deleted, had, inserted, expected) in [
            (default, 0, 0, 0, false),
            (default, 0, 5, 0, false),
            (default, 1, 1, 0, true),
            (default, 1, 1, 1, false),
            (default, 999, 999, 1, false),
            (default, 998, 999, 0, false),
            (default, 200, 1_000, 0, false),
            (default, 201, 1_000, 0, true),
            (default, 201, 1_004, 0, true),
            (default, 201, 1_005, 0, false),
            (default, 1_000, 1_000, 1_000, true),
            (default, 1_000_000, 5_000_000, 0, false),
            (default, 1_000_001, 5_000_000, 0, true),
            (none, 1, 999, 0, false),
            (none, 1, 1_000, 0, true),
            (none, 0, 1_000, 0, false),
            (none, 1_000, 1_000, 0, false),
            (none, 1_000, 1_000, 1, true),
            (Guard::OFF, 5_000, 5_000, 0, false),
        ] {
            assert_eq!(
                is_refused(guard, deleted, had, inserted),
                expected,
                "{deleted} of {had}, {inserted} come, {guard:?}"
            );
        }
    }

    #[test]
    fn counting_follows_the_deletes() {
        assert_eq!(Guard::default().rows_to_count(200, 1), 0);
        assert_eq!(Guard::default().rows_to_count(1_000, 1), 4_001);
        assert_eq!(Guard::OFF.rows_to_count(u64::MAX, 0), 0);
    }
}
