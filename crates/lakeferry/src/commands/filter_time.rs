//! Where a filter that depends on time stands in it.

use chrono_tz::Tz;
use lakeferry_config::Job;
use lakeferry_model::{Clock as _, DeltaVersion, Instant, Source as _, Standing};
use serde::Serialize;

use crate::wiring::WiredJob;

/// The instants of a job's filter, in the job's time zone.
#[derive(Debug, Serialize)]
pub(crate) struct FilterTime {
    /// Of the target's rows; absent before the first fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Of the rows after the next run; absent where that is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
}

impl FilterTime {
    /// Nothing where the filter of `job` does not depend on time.
    pub(crate) fn of(
        job: &Job,
        wired: &WiredJob,
        standing: &Standing<DeltaVersion>,
    ) -> Option<Self> {
        let now = wired.source.filter_instant(wired.clock.now())?;
        let at = standing.watermark().map(|watermark| watermark.instant);
        let told = |instant| instant_wording(instant, job.timezone);
        Some(Self {
            at: at.map(told),
            due: at.is_none_or(|at| at < now).then(|| told(now)),
        })
    }

    pub(crate) fn told(&self) -> String {
        let due = |due| format!("due to move to {due}");
        let (at, due) = (self.at.as_ref(), self.due.as_ref().map(due));
        let at = at.map(|at| format!("as of {at}"));
        let parts: Vec<String> = at.into_iter().chain(due).collect();
        parts.join(", ")
    }
}

/// An instant of a filter: the date alone where that begins.
pub(crate) fn instant_wording(instant: Instant, zone: Tz) -> String {
    let Some(moment) = chrono::DateTime::from_timestamp_micros(instant.0) else {
        return String::new();
    };
    let moment = moment.with_timezone(&zone);
    let format = match moment.time() == chrono::NaiveTime::MIN {
        true => "%Y-%m-%d",
        false => "%Y-%m-%dT%H:%M:%S%:z",
    };
    moment.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_alone() {
        let told = |seconds: i64, zone: Tz| instant_wording(Instant(seconds * 1_000_000), zone);
        assert_eq!(told(1_700_006_400, Tz::UTC), "2023-11-15");
        let later = told(1_700_006_401, Tz::UTC);
        assert_eq!(later, "2023-11-15T00:00:01+00:00");
        assert_eq!(told(1_700_002_800, Tz::Europe__Berlin), "2023-11-15");
        let in_berlin = told(1_700_006_400, Tz::Europe__Berlin);
        assert_eq!(in_berlin, "2023-11-15T01:00:00+01:00");
    }
}
