//! Targets: databases to write to.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Connection, Password, PasswordCommand, PostgresUrl, Secret, Target, TargetName,
    amount::{parse_connections, parse_time},
    check::Surroundings,
    field::Field,
    problem::{Fault, Place, Report},
    raw::{Named, RawCommand, RawPassword, RawTarget},
    secret::shown,
    suggest,
};

const DEFAULT_CLOSE_AFTER: Duration = Duration::from_secs(60);
/// Often enough for people, and rarely enough for a server.
const DEFAULT_CONTROL_POLL: Duration = Duration::from_secs(60);
const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// The declared targets, by name; `None` for one that is faulty.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    known: BTreeMap<TargetName, Option<Target>>,
    /// Whether there are more that could not be read.
    incomplete: bool,
}

/// What a job's reference to a target leads to.
pub(crate) enum Found<'a> {
    Right(&'a Target),
    /// A target that is there and has a problem.
    Faulty(TargetName),
    /// Perhaps one of those that could not be read.
    Nowhere,
}

impl Targets {
    /// The target called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<Found<'_>, Fault> {
        match self.known.get_key_value(name) {
            Some((_, Some(target))) => return Ok(Found::Right(target)),
            Some((name, None)) => return Ok(Found::Faulty(name.clone())),
            None if self.incomplete => return Ok(Found::Nowhere),
            None => {}
        }
        let hint = match self.known.len() {
            0 => "declare it under `targets`".to_owned(),
            _ => suggest::hint(
                name,
                self.known.keys().map(TargetName::as_str),
                "known targets",
            ),
        };
        Err(Fault::new(format!("unknown target {}", shown(name)), hint))
    }

    /// All targets, if none is faulty.
    pub(crate) fn complete(self) -> Option<BTreeMap<TargetName, Target>> {
        self.known
            .into_iter()
            .map(|(name, target)| Some((name, target?)))
            .collect()
    }
}

pub(crate) fn check(
    raw: Field<Vec<Named<RawTarget>>>,
    surroundings: &Surroundings<'_>,
    report: &mut Report,
) -> Targets {
    let Some(raw) = raw.given() else {
        return Targets {
            incomplete: true,
            ..Targets::default()
        };
    };
    // A file without any is told so once, not at each job.
    let mut targets = Targets {
        incomplete: raw.value.is_empty(),
        ..Targets::default()
    };
    for Named { name, value } in raw.value {
        let place = name.place.clone();
        let Some(name) = Field::Given(name).check(report, TargetName::parse).given() else {
            targets.incomplete = true;
            continue;
        };
        let name = name.value;
        let target = value.and_then(|raw| check_target(&name, &place, raw, surroundings, report));
        targets.known.insert(name, target);
    }
    targets
}

fn check_target(
    name: &TargetName,
    place: &Place,
    raw: RawTarget,
    surroundings: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Target> {
    let reached = raw.url.check_at(report, |text, place| {
        let url = PostgresUrl::parse(&text)?;
        let (connection, password) =
            Connection::complete(&url, place.directory(), surroundings.env)?;
        Ok((url, connection, password))
    });
    let reached = reached.required(report, place, || {
        let what = format!("target `{name}` has no `url`");
        Fault::new(what, "add `url: \"postgresql://user@host/database\"`")
    });
    let reached = reached.map(|reached| reached.value);
    let url = reached.as_ref().map(|(url, ..)| url);
    let password = check_password(raw.password, url, surroundings, report);
    let max_connections = raw
        .max_connections
        .check(report, |text| parse_connections(&text));
    let close_after = raw.close_after.check(report, |text| parse_time(&text));
    let control_poll = raw.control_poll.check(report, |text| parse_poll(&text));
    let lease = raw.lease.check(report, |text| parse_time(&text));
    let (password, max_connections) = (password.optional()?, max_connections.or_default(None)?);
    let (url, connection, found) = reached?;
    Some(Target {
        name: name.clone(),
        url,
        connection,
        password: password.or(found.map(Password::Given)),
        max_connections,
        close_after: close_after.or_default(DEFAULT_CLOSE_AFTER)?,
        control_poll: control_poll.or_default(Some(DEFAULT_CONTROL_POLL))?,
        lease: lease.or_default(DEFAULT_LEASE)?,
    })
}

/// Reads a time, or `none`.
fn parse_poll(text: &str) -> Result<Option<Duration>, Fault> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    parse_time(text).map(Some)
}

fn check_password(
    raw: Field<RawPassword>,
    url: Option<&PostgresUrl>,
    surroundings: &Surroundings<'_>,
    report: &mut Report,
) -> Field<Password> {
    raw.check_at(report, |password, place| {
        if url.is_some_and(PostgresUrl::has_password) {
            let what = "there are two passwords, this one and one in `url`";
            return Err(Fault::new(what, "remove the one in `url`"));
        }
        found_where(password, "password", place, surroundings)
    })
}

/// What the setting `name` at `place` leads to.
pub(crate) fn found_where(
    secret: RawPassword,
    name: &str,
    place: &Place,
    surroundings: &Surroundings<'_>,
) -> Result<Password, Fault> {
    match secret {
        RawPassword::File(path) => Ok(Password::File(place.directory().join(path))),
        RawPassword::Command(command) => Ok(Password::Command(match command {
            RawCommand::Words(words) => PasswordCommand::Program(words),
            RawCommand::Line(line) => PasswordCommand::Shell(line),
        })),
        RawPassword::Env(variable) => match surroundings.env.get(&variable) {
            Some(value) if !value.is_empty() => Ok(Password::Given(Secret::new(value))),
            found => Err(variable_fault(
                &variable,
                name,
                found.is_some(),
                surroundings,
            )),
        },
    }
}

/// The variable's name is repeated only if it looks like one: it may be the password itself.
fn variable_fault(
    variable: &str,
    name: &str,
    is_set: bool,
    surroundings: &Surroundings<'_>,
) -> Fault {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !is_set && !variable.chars().all(is_name) {
        let what = "the environment variable that `env` names is not set";
        return Fault::new(what, "`env` takes the name of a variable, not its value");
    }
    if is_set {
        let what = format!("the environment variable `{variable}` is empty");
        return Fault::new(what, format!("set it, or remove `{name}`"));
    }
    let what = format!("the environment variable `{variable}` is not set");
    let hint = match suggest::nearest(variable, surroundings.env.keys().map(String::as_str)) {
        Some(near) => format!("set it, or did you mean `{near}`?"),
        None => "set it".to_owned(),
    };
    Fault::new(what, hint)
}
