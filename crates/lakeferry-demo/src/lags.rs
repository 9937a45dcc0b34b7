//! The newest lags, and what can be said of them.

use std::{collections::VecDeque, time::Duration};

/// So that a demo that runs for days keeps its size.
const KEPT: usize = 1_000;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Debug, Default)]
pub(crate) struct Lags(VecDeque<Duration>);

impl Lags {
    pub(crate) fn add(&mut self, lag: Duration) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(lag);
    }

    pub(crate) fn last(&self) -> Option<Duration> {
        self.0.back().copied()
    }

    /// The smallest lag that `percent` of all do not exceed; zero if there is none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// The newest `width` as bars, the largest of them as a full one.
    pub(crate) fn bars(&self, width: usize) -> String {
        let newest = self.0.iter().skip(self.0.len().saturating_sub(width));
        let most = newest.clone().max().copied().unwrap_or_default();
        let bar = |lag: &Duration| {
            let share = lag.as_secs_f64() / most.as_secs_f64().max(f64::MIN_POSITIVE);
            let step = (share * BARS.len() as f64).ceil() as usize;
            BARS[step.clamp(1, BARS.len()) - 1]
        };
        newest.map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lags(millis: impl IntoIterator<Item = u64>) -> Lags {
        let mut lags = Lags::default();
        millis
            .into_iter()
            .for_each(|lag| lags.add(Duration::from_millis(lag)));
        lags
    }

    #[test]
    fn percentiles_are_lags_that_there_were() {
        let percentiles = |lags: Lags| [50, 99].map(|p| lags.percentile(p).as_millis());
        assert_eq!(percentiles(lags([])), [0, 0]);
        assert_eq!(percentiles(lags([7])), [7, 7]);
        assert_eq!(percentiles(lags((1..=100).rev())), [50, 99]);
        assert_eq!(percentiles(lags([1, 2])), [1, 2]);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let lags = lags(0..5_000);
        assert_eq!(lags.0.len(), KEPT);
        assert_eq!(lags.last(), Some(Duration::from_millis(4_999)));
    }

    #[test]
    fn the_largest_lag_is_a_full_bar() {
        assert_eq!(lags([0, 10, 40, 80]).bars(3), "▁▄█");
        assert_eq!(lags([0]).bars(3), "▁");
        assert_eq!(lags([]).bars(3), "");
    }
}
