//! What a job keeps between its runs: its source, open and warm, and what its target is known to have.
//! So a look that finds nothing new costs one small request to the source, and none to the target.
//!
//! Nothing that was kept is trusted after a failure. That somebody else changed the target is noticed by
//! the next run that has something to do.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use lakeferry_config::{Config, Job};
use lakeferry_engine::{Meter, Request, run};
use lakeferry_model::{Clock as _, DeltaVersion, Head, Source as _, Watermark};

use crate::{
    exit::Trouble,
    wiring::{self, WiredJob},
};

pub(super) type Report = lakeferry_engine::Report<DeltaVersion>;

/// How a run ended.
pub(super) struct Ended {
    pub(super) kept: KeptJob,
    /// What was done, also before a failure.
    pub(super) report: Report,
    pub(super) result: Result<(), Trouble>,
}

/// See the module.
pub(super) struct KeptJob {
    config: Arc<Config>,
    job: Job,
    meter: Meter,
    warm: Option<Warm>,
}

/// What is only there after a run that ended well.
struct Warm {
    wired: WiredJob,
    /// The columns that the job was wired for.
    columns: SchemaRef,
    /// What the target has.
    watermark: Option<Watermark<DeltaVersion>>,
}

impl KeptJob {
    pub(super) fn new(config: Arc<Config>, job: Job) -> Self {
        Self {
            config,
            job,
            meter: Meter::default(),
            warm: None,
        }
    }

    /// Brings the job forward once.
    pub(super) async fn run(mut self) -> Ended {
        let mut report = Report::default();
        let result = match self.warm.take() {
            Some(warm) => self.go_on(warm, &mut report).await,
            None => self.begin(&mut report).await,
        };
        Ended {
            kept: self,
            report,
            result,
        }
    }

    async fn go_on(&mut self, warm: Warm, report: &mut Report) -> Result<(), Trouble> {
        let head = warm.wired.source.head().await;
        let head = head.map_err(|error| wiring::source_trouble(&self.job, &error))?;
        if warm.has(&head) {
            self.warm = Some(warm);
            return Ok(());
        }
        if warm.columns != head.columns {
            // What the job's settings mean may be another thing now.
            return self.begin(report).await;
        }
        self.bring(warm, report).await
    }

    async fn begin(&mut self, report: &mut Report) -> Result<(), Trouble> {
        let mut wired = wiring::job(&self.config, &self.job).await?;
        wired.meter = self.meter.clone();
        let head = wired.source.head().await;
        let head = head.map_err(|error| wiring::source_trouble(&self.job, &error))?;
        let warm = Warm {
            wired,
            columns: head.columns,
            watermark: None,
        };
        self.bring(warm, report).await
    }

    async fn bring(&mut self, warm: Warm, report: &mut Report) -> Result<(), Trouble> {
        Box::pin(run(&warm.wired, Request::Sync, report))
            .await
            .map_err(Trouble::from)?;
        let watermark = report.watermark.clone();
        self.warm = Some(Warm { watermark, ..warm });
        Ok(())
    }
}

impl Warm {
    /// Whether the target has all that there is.
    fn has(&self, head: &Head<DeltaVersion>) -> bool {
        let Some(had) = &self.watermark else {
            return false;
        };
        let wired = &self.wired;
        let instant = wired.source.filter_instant(wired.clock.now());
        let instant = instant.map_or(had.instant, |instant| instant.max(had.instant));
        head.watermark(instant) == *had
    }
}
