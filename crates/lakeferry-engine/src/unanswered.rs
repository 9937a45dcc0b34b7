//! An apply whose COMMIT was not answered: it is counted once it is seen that it landed.
//!
//! The epoch says whether anybody else can have moved the job since: it grows with every claim. So
//! a watermark that is there under the same epoch is ours; and under our own next claim, when every
//! transaction of the session before has ended, one that is not there never came.

use lakeferry_model::{Epoch, Progress, Standing};

use crate::run::{Report, Step};

/// What an apply would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered<P> {
    pub(crate) step: Step<P>,
    pub(crate) progress: Progress<P>,
    /// Of the session that sent it.
    pub(crate) epoch: Epoch,
}

impl<P: PartialEq> Report<P> {
    /// Counts the unanswered apply, if `standing` shows that it landed; `is_claimed` says whether
    /// the standing was read under a claim of our own.
    pub(crate) fn settle(&mut self, standing: &Standing<P>, is_claimed: bool) {
        let epoch_before = standing.epoch.0 - u64::from(is_claimed);
        let Some(unanswered) = self.unanswered.take() else {
            return;
        };
        if epoch_before != unanswered.epoch.0 {
            return;
        }
        if standing.progress.as_ref() == Some(&unanswered.progress) {
            self.steps.push(unanswered.step);
        } else if !is_claimed {
            self.unanswered = Some(unanswered);
        }
    }
}

#[cfg(test)]
mod tests {
    use lakeferry_model::{
        BadRowCounts, Fingerprint, Instant, RowCounts, TableId, TableStanding, Watermark,
    };

    use super::*;
    use crate::run::StepKind;

    fn progress(version: u64) -> Progress<u64> {
        Progress {
            watermark: Watermark {
                table_id: TableId("table".to_owned()),
                version,
                digest: None,
                instant: Instant(0),
            },
            fingerprint: Fingerprint {
                key: Vec::new(),
                rows: String::new(),
                columns: Vec::new(),
                columns_made: 0,
            },
        }
    }

    fn standing(epoch: u64, version: u64) -> Standing<u64> {
        Standing {
            progress: Some(progress(version)),
            epoch: Epoch(epoch),
            table: TableStanding::Filled,
            unfinished: None,
            quarantined: 0,
            paused: None,
        }
    }

    /// Steps that are counted, and whether one is still open, after an apply of version 2 under
    /// epoch 5 was not answered and then `standing` was seen.
    fn seen(standing: &Standing<u64>, is_claimed: bool) -> (usize, bool) {
        let mut report = Report {
            unanswered: Some(Unanswered {
                step: Step {
                    kind: StepKind::Advance,
                    through: 2,
                    rows_read: 0,
                    rows: RowCounts::default(),
                    bad: BadRowCounts::default(),
                    at: Instant(0),
                },
                progress: progress(2),
                epoch: Epoch(5),
            }),
            ..Report::default()
        };
        report.settle(standing, is_claimed);
        (report.steps.len(), report.unanswered.is_some())
    }

    #[test]
    fn what_landed_is_counted_and_nothing_else() {
        assert_eq!(seen(&standing(5, 2), false), (1, false));
        assert_eq!(seen(&standing(6, 2), true), (1, false));
        // It may still be on its way.
        assert_eq!(seen(&standing(5, 1), false), (0, true));
        assert_eq!(seen(&standing(6, 1), true), (0, false));
        // Somebody else had the job since.
        assert_eq!(seen(&standing(6, 2), false), (0, false));
        assert_eq!(seen(&standing(7, 2), true), (0, false));
    }
}
