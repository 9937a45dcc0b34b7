//! Services: sets of parameters under a name, in a file
//! (<https://www.postgresql.org/docs/current/libpq-pgservice.html>).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{postgres_url::Parameter, problem::Fault, secret::shown};

/// Where Debian's libpq looks; PGSYSCONFDIR says another place.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

type Parameters = BTreeMap<&'static str, String>;

/// The parameters of the service called `name`: of the user's file, else of the system's.
pub(super) fn read(name: &str, env: &BTreeMap<String, String>) -> Result<Parameters, Fault> {
    let set = |variable| super::set(env, variable).map(PathBuf::from);
    let named = set("PGSERVICEFILE");
    let of_user = named
        .clone()
        .or_else(|| Some(set("HOME")?.join(".pg_service.conf")));
    let of_system = set("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_DIRECTORY.into());
    let of_system = of_system.join("pg_service.conf");
    let mut looked = Vec::new();
    for path in of_user.into_iter().chain([of_system]) {
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(found) = find(&text, name, &path)? {
                    return Ok(found);
                }
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && named.as_ref() != Some(&path) => {}
            Err(error) => {
                let what = format!("cannot read the service file {}: {error}", path.display());
                return Err(Fault::new(
                    what,
                    "check PGSERVICEFILE, and that this user may read it",
                ));
            }
        }
        looked.push(path.display().to_string());
    }
    let what = format!("there is no service {}", shown(name));
    Err(Fault::new(
        what,
        format!("add it to one of {}", looked.join(", ")),
    ))
}

/// What `text` says in its first section called `name`; the first of two equal names counts.
fn find(text: &str, name: &str, path: &Path) -> Result<Option<Parameters>, Fault> {
    let mut found: Option<Parameters> = None;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            let is_it = title.split(']').next() == Some(name);
            found = is_it.then(Parameters::new);
            continue;
        }
        let Some(parameters) = &mut found else {
            continue;
        };
        let origin = format!("in line {number} of {}", path.display());
        let (key, value) = line.split_once('=').ok_or_else(|| {
            Fault::new(
                format!("there is no `name=value` {origin}"),
                "correct the line",
            )
        })?;
        let parameter = Parameter::find(key)
            .map_err(|fault| Fault::new(format!("{} ({origin})", fault.what), fault.hint))?;
        if parameter.name == "service" {
            let what = format!("a service names another one {origin}");
            return Err(Fault::new(what, "write its parameters there"));
        }
        if value.is_empty() {
            continue;
        }
        parameter.check(value, &origin)?;
        parameters
            .entry(parameter.name)
            .or_insert_with(|| value.to_owned());
    }
    Ok(found)
}
