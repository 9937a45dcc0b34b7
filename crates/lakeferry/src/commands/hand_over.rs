//! A job that somebody else works on, such as a daemon: what was asked for is handed to them, and
//! followed. Where they go away without doing it, it is taken back, to be done here.

use std::time::Duration;

use lakeferry_config::{Config, Job};
use lakeferry_model::{Clock as _, Holder};
use lakeferry_postgres::{Answer, Control, Followed, Request, Spares};

use crate::{exit::Trouble, system_clock::SystemClock, wiring};

/// How often it is looked at what came of it.
const EVERY: Duration = Duration::from_millis(200);

/// So many looks in a row find nobody at it before it is taken back: between two runs of theirs, nobody
/// is either.
const FREE_LOOKS: u32 = 3;

/// A request that was handed to whoever works on a job.
pub(crate) struct Handed {
    control: Control,
    job: Job,
    id: i64,
}

impl Handed {
    /// Hands `request` over, and says so in the log.
    pub(crate) async fn to(
        holder: &Holder,
        config: &Config,
        job: &Job,
        request: Request,
    ) -> Result<Self, Trouble> {
        // Each look is by the same connection.
        let spares = Spares::new(1, Duration::from_secs(10));
        let control = wiring::control(config, job, spares)?;
        let id = control
            .request(job.name.as_str(), request, &wiring::operator())
            .await
            .map_err(|error| wiring::target_trouble(job, &error))?;
        let name = job.name.as_str();
        tracing::warn!(job = name, %holder, "it is being worked on: handed over, and followed");
        let job = job.clone();
        Ok(Self { control, job, id })
    }

    /// Waits for what comes of it; `None` if nobody does it, and it was taken back.
    pub(crate) async fn followed(&self) -> Result<Option<Answer>, Trouble> {
        let trouble = |error| wiring::target_trouble(&self.job, &error);
        let mut free_looks = 0;
        loop {
            SystemClock.sleep(EVERY).await;
            match self.control.follow(self.id).await.map_err(trouble)? {
                Followed::Ended(answer) => return Ok(Some(answer)),
                Followed::Gone => return Ok(None),
                Followed::UnderWay => free_looks = 0,
                Followed::Free => free_looks += 1,
            }
            if free_looks >= FREE_LOOKS && self.withdraw().await? {
                return Ok(None);
            }
        }
    }

    /// Takes it back, if nobody does it yet; says whether that was so.
    pub(crate) async fn withdraw(&self) -> Result<bool, Trouble> {
        let withdrawn = self.control.withdraw(self.id).await;
        withdrawn.map_err(|error| wiring::target_trouble(&self.job, &error))
    }
}
