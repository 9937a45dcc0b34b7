//! One connection, through the public door, and what is said of it.

use std::path::Path;

use lakeferry_model::{Failure, FailureClass};
use lakeferry_postgres::{ConnectSettings, Error, PasswordSource, read_status};

/// Connects with the parameters in `text` (`name=value`, none with a space) and a password.
pub(crate) async fn connect_with(
    text: &str,
    home: Option<&Path>,
    password: Option<PasswordSource>,
) -> Result<(), Error> {
    let pairs = text
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    let mut settings = ConnectSettings::new(pairs, home)?;
    if let Some(password) = password {
        settings = settings.password(password);
    }
    let jobs = read_status(&settings, "lakeferry", "nobody").await?;
    assert!(jobs.is_empty());
    Ok(())
}

pub(crate) async fn connect(text: &str) -> Result<(), Error> {
    connect_with(text, None, None).await
}

pub(crate) fn password(text: &str) -> Option<PasswordSource> {
    let text = text.to_owned();
    Some(PasswordSource::new(move || Ok(text.clone())))
}

/// All that is said of an error, which must be one of connecting.
#[track_caller]
pub(crate) fn told(result: Result<(), Error>) -> (FailureClass, String) {
    let error = result.expect_err("it is refused");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let hint = error.hint().unwrap_or_default();
    assert!(!hint.is_empty(), "no hint: {text}");
    assert!(error.is_connecting(), "{text}");
    assert!(text.starts_with("cannot connect ("), "{text}");
    (error.class(), format!("{text}; hint: {hint}"))
}

/// Is refused for an operator, with these words.
#[track_caller]
pub(crate) fn refused(result: Result<(), Error>, words: &[&str]) {
    let (class, text) = told(result);
    assert_eq!(class, FailureClass::NeedsOperator, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// Does not come about now, with these words.
#[track_caller]
pub(crate) fn not_now(result: Result<(), Error>, words: &[&str]) {
    let (class, text) = told(result);
    assert_eq!(class, FailureClass::Transient, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}
