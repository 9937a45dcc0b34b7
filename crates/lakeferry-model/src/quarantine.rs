//! Rows that a target cannot hold: for a value, such as a text with NUL, or for a key that is null.

use std::fmt;

/// What becomes of a value that the target cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadValue {
    /// Its row is kept aside, and the older row of its key leaves the target.
    #[default]
    Quarantine,
    /// Its row is kept aside, and the older row of its key stays in the target.
    KeepPrevious,
    /// The nearest value that can be held is written instead; where there is none, as in a key, its
    /// row is kept aside.
    Replace,
    /// It is written as NULL; where that cannot be, as in a key, its row is kept aside.
    Null,
    /// The job waits for an operator.
    Halt,
}

/// What becomes of a row with NULL in its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNullKey {
    /// The job waits for an operator.
    #[default]
    Halt,
    /// It is kept aside, as often as the source has it.
    Quarantine,
}

/// What a job does with bad rows, and of how many it makes no more than a note.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadRows {
    pub on_bad_value: OnBadValue,
    pub on_null_key: OnNullKey,
    /// As many may be in quarantine.
    pub max_rows: u64,
    /// Or as many as this share of the rows of the target, if that is more. From 0 to 1.
    pub max_share: f64,
}

/// What is allowed where nobody says otherwise.
impl Default for BadRows {
    fn default() -> Self {
        Self {
            on_bad_value: OnBadValue::default(),
            on_null_key: OnNullKey::default(),
            max_rows: 100,
            max_share: 0.001,
        }
    }
}

impl BadRows {
    /// Refuses all bad rows.
    pub const HALT: Self = Self {
        on_bad_value: OnBadValue::Halt,
        on_null_key: OnNullKey::Halt,
        max_rows: 0,
        max_share: 0.0,
    };

    /// Whether the target keeps the older row of a key whose new one is kept aside.
    pub fn keeps_previous(&self) -> bool {
        self.on_bad_value == OnBadValue::KeepPrevious
    }

    /// How many rows of the target have to be counted to be sure that `quarantined` are not too
    /// many. Zero if there is nothing to doubt.
    pub fn rows_to_count(&self, quarantined: u64) -> u64 {
        if quarantined <= self.max_rows || self.max_share <= 0.0 {
            return 0;
        }
        // Beyond 64 bits it is all of them.
        (quarantined as f64 / self.max_share).ceil() as u64
    }

    /// Whether `quarantined` rows are too many, `rows` being those of the target, counted as far
    /// as [`BadRows::rows_to_count`] says.
    pub fn refusal(&self, quarantined: u64, rows: u64) -> Option<TooManyBad> {
        let within_share = quarantined as f64 <= self.max_share * rows as f64;
        (quarantined > self.max_rows && !within_share).then_some(TooManyBad {
            quarantined,
            allows: *self,
        })
    }
}

/// More rows in quarantine than a job allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooManyBad {
    pub quarantined: u64,
    allows: BadRows,
}

impl TooManyBad {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "correct these rows in the source, keep such rows out by the job's filter, or give the job \
         a larger max_quarantined"
    }
}

/// `103 rows would be in quarantine, and max_quarantined allows …`
impl fmt::Display for TooManyBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadRows {
            max_rows,
            max_share,
            ..
        } = self.allows;
        let percent = max_share * 100.0;
        write!(
            f,
            "{} rows would be in quarantine, and max_quarantined allows ",
            self.quarantined
        )?;
        match (max_rows, percent > 0.0) {
            (rows, false) => write!(f, "{rows}"),
            (0, true) => write!(f, "{percent} % of the table"),
            (rows, true) => write!(f, "{rows}, or {percent} % of the table"),
        }
    }
}

/// What an apply did with bad rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BadRowCounts {
    /// Rows that came into quarantine; those that were there and stay are not counted.
    pub quarantined: u64,
    /// Rows that left it: their key changed, they went, or they can be held now.
    pub released: u64,
    /// Values that were written as NULL.
    pub nulled: u64,
    /// Values for which the nearest were written.
    pub replaced: u64,
}

impl std::ops::AddAssign for BadRowCounts {
    fn add_assign(&mut self, more: Self) {
        self.quarantined += more.quarantined;
        self.released += more.released;
        self.nulled += more.nulled;
        self.replaced += more.replaced;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bad: BadRows, quarantined: u64, rows: u64) -> bool {
        let counted = rows.min(bad.rows_to_count(quarantined));
        bad.refusal(quarantined, counted).is_some()
    }

    #[test]
    fn rows_or_a_share_of_the_table() {
        let bad = BadRows::default();
        for (quarantined, rows, expected) in [
            (0, 0, false),
            (100, 0, false),
            (101, 100_999, true),
            (101, 101_000, false),
            (1_000, 1_000_000, false),
            (1_001, 1_000_000, true),
        ] {
            let verdict = refused(bad, quarantined, rows);
            assert_eq!(verdict, expected, "{quarantined} of {rows}");
        }
        let rows_alone = BadRows {
            max_share: 0.0,
            ..bad
        };
        assert!(refused(rows_alone, 101, u64::MAX));
        assert!(!refused(rows_alone, 100, 0));
    }

    #[test]
    fn as_told() {
        let told = |max_rows, max_share| {
            let bad = BadRows {
                max_rows,
                max_share,
                ..BadRows::default()
            };
            bad.refusal(9, 0).map(|too_many| too_many.to_string())
        };
        let start = "9 rows would be in quarantine, and max_quarantined allows ";
        assert_eq!(told(5, 0.0), Some(format!("{start}5")));
        assert_eq!(told(0, 0.01), Some(format!("{start}1 % of the table")));
        assert_eq!(
            told(5, 0.5),
            Some(format!("{start}5, or 50 % of the table"))
        );
        assert_eq!(told(9, 0.0), None);
    }
}
