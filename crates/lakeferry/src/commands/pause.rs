//! `pause` and `resume`: whether jobs may run, whoever runs them and wherever.

use lakeferry_config::Config;
use lakeferry_model::Pause;
use lakeferry_postgres::Spares;
use serde::Serialize;

use crate::{commands::wording::time_wording, exit::Trouble, output::Done, wiring};

/// That a job is paused.
#[derive(Debug, Serialize)]
pub(crate) struct Paused {
    pub(crate) since: String,
    pub(crate) by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip)]
    told: String,
}

impl Paused {
    pub(crate) fn of(pause: &Pause) -> Self {
        let since = time_wording(pause.since);
        Self {
            told: format!("{pause}, since {since}"),
            since,
            by: pause.by.clone(),
            reason: pause.reason.clone(),
        }
    }

    /// In words.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }
}

#[derive(Debug, Serialize)]
struct Outcome {
    job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
    /// Whether it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    was_paused: Option<bool>,
}

/// Keeps the named jobs from running.
pub(crate) async fn pause(
    config: &Config,
    names: &[String],
    reason: Option<&str>,
) -> Result<Done, Trouble> {
    let (mut outcomes, mut text, mut troubles) = (Vec::new(), String::new(), Vec::new());
    for job in wiring::chosen(config, names)? {
        let name = job.name.to_string();
        let control = wiring::control(config, job, Spares::default())?;
        match control.pause(&name, &wiring::operator(), reason).await {
            Ok(pause) => {
                let paused = Paused::of(&pause);
                text.push_str(&format!("{name}: {}\n", paused.told()));
                outcomes.push(Outcome {
                    job: name,
                    paused: Some(paused),
                    was_paused: None,
                });
            }
            Err(error) => troubles.push(wiring::target_trouble(job, &error)),
        }
    }
    Ok(Done {
        troubles,
        ..Done::new(text, &outcomes)
    })
}

/// Lets the named jobs run again.
pub(crate) async fn resume(config: &Config, names: &[String]) -> Result<Done, Trouble> {
    let (mut outcomes, mut text, mut troubles) = (Vec::new(), String::new(), Vec::new());
    for job in wiring::chosen(config, names)? {
        let name = job.name.to_string();
        let control = wiring::control(config, job, Spares::default())?;
        match control.resume(&name).await {
            Ok(was_paused) => {
                let told = match was_paused {
                    true => "resumed",
                    false => "was not paused",
                };
                text.push_str(&format!("{name}: {told}\n"));
                outcomes.push(Outcome {
                    job: name,
                    paused: None,
                    was_paused: Some(was_paused),
                });
            }
            Err(error) => troubles.push(wiring::target_trouble(job, &error)),
        }
    }
    Ok(Done {
        troubles,
        ..Done::new(text, &outcomes)
    })
}
