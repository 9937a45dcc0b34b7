//! What ended a command, and the exit code that says so.

use std::{error::Error as StdError, fmt};

use lakeferry_config::Problem;
use lakeferry_engine::RunError;
use lakeferry_model::{Failure, FailureClass};
use serde::Serialize;

use crate::differing::Differing;

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    Done = 0,
    /// A run failed.
    Failed = 1,
    /// The configuration is wrong.
    Configuration = 2,
    /// The environment is: something cannot be reached or read.
    Environment = 3,
    /// Ctrl-C or SIGTERM stopped it; as a shell says it of Ctrl-C.
    Interrupted = 130,
}

/// Why a command, or one job of it, did not do what it should.
#[derive(Debug, Serialize)]
pub(crate) struct Trouble {
    #[serde(skip)]
    pub(crate) code: Code,
    /// Who must do what next.
    #[serde(skip)]
    pub(crate) class: FailureClass,
    /// What happened, naming the object.
    pub(crate) reason: String,
    /// The job it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<Box<JobPlace>>,
    /// What lies beneath it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<Box<str>>,
    /// Each problem of a configuration file.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) problems: Box<[Problem]>,
    /// What keeps a table from being adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) differences: Option<Box<Differing>>,
    /// The report that lists the problems.
    #[serde(skip)]
    pub(crate) report: Option<Box<str>>,
}

/// A job with its two tables, as the configuration names them.
#[derive(Debug, Serialize)]
pub(crate) struct JobPlace {
    name: String,
    from: String,
    into: String,
}

impl fmt::Display for JobPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "job {}, from {} into {}",
            self.name, self.from, self.into
        )
    }
}

impl Trouble {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        let (causes, problems) = (Vec::new(), Box::default());
        Self {
            code,
            class: FailureClass::NeedsOperator,
            reason: reason.into(),
            job: None,
            causes,
            hint: None,
            problems,
            differences: None,
            report: None,
        }
    }

    pub(crate) fn environment(error: anyhow::Error) -> Self {
        Self::new(Code::Environment, format!("{error:#}"))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into());
        self
    }

    /// Reason and causes.
    pub(crate) fn in_one_line(&self) -> String {
        let causes = self.causes.iter().map(String::as_str);
        let parts: Vec<_> = [self.reason.as_str()].into_iter().chain(causes).collect();
        parts.join(": ")
    }

    /// Says which job it is about.
    pub(crate) fn about(mut self, job: &lakeferry_config::Job) -> Self {
        let begin = format!("job {}: ", job.name);
        if !self.reason.starts_with(&begin) {
            self.reason.insert_str(0, &begin);
        }
        self.job = Some(Box::new(JobPlace {
            name: job.name.to_string(),
            from: job.source.to_string(),
            into: job.target.to_string(),
        }));
        self
    }

    /// A failure of a port or of a run, for the job it is about.
    pub(crate) fn of(code: Code, failure: &impl Failure) -> Self {
        let mut trouble = Self::new(code, failure.to_string());
        trouble.class = failure.class();
        trouble.hint = failure.hint().map(Into::into);
        trouble.causes = causes(failure);
        trouble
    }
}

impl From<lakeferry_config::Error> for Trouble {
    fn from(error: lakeferry_config::Error) -> Self {
        match error {
            lakeferry_config::Error::Wrong(problems) => {
                let reason = format!("{} is wrong", problems.origin().display());
                let mut trouble = Self::new(Code::Configuration, reason);
                trouble.report = Some(problems.to_string().into());
                trouble.problems = problems.iter().cloned().collect();
                trouble
            }
            other => Self::of(Code::Environment, &other),
        }
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        let beneath = StdError::source(&error);
        let code = beneath.map_or(Code::Failed, |cause| {
            if let Some(source) = cause.downcast_ref::<lakeferry_delta::Error>() {
                source_code(source)
            } else if let Some(target) = cause.downcast_ref::<lakeferry_postgres::Error>() {
                target_code(target)
            } else {
                Code::Failed
            }
        });
        let mut trouble = Self::of(code, &error);
        if let RunError::Differs { differences, .. } = &error {
            trouble.differences = Some(Box::new(differences.as_ref().into()));
        }
        trouble
    }
}

/// What a failure of a source means for the exit code.
pub(crate) fn source_code(error: &lakeferry_delta::Error) -> Code {
    match error {
        lakeferry_delta::Error::Unfit { .. } => Code::Configuration,
        lakeferry_delta::Error::Unreachable { .. } | lakeferry_delta::Error::Unreadable { .. } => {
            Code::Environment
        }
        _ => Code::Failed,
    }
}

/// What a failure of a target means for the exit code.
pub(crate) fn target_code(error: &lakeferry_postgres::Error) -> Code {
    if error.is_connecting() {
        Code::Environment
    } else {
        Code::Failed
    }
}

/// The causes beneath an error, without those that the one above has told already.
fn causes(error: &dyn StdError) -> Vec<String> {
    let mut causes = Vec::new();
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            causes.push(text.clone());
            said = text;
        }
        next = cause.source();
    }
    causes
}
