//! How a target's server is reached, complete: what the URL says, else what the service says that
//! it names, else what the environment says, as in libpq
//! (<https://www.postgresql.org/docs/current/libpq-envars.html>).

mod address;
mod service;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub(crate) use self::address::Address;
use crate::{
    PostgresUrl, Secret,
    postgres_url::{Parameter, all_parameters},
    problem::Fault,
};

/// The parameters of libpq that a connection is opened with. The password is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    parameters: BTreeMap<&'static str, String>,
    address: Address,
    home: Option<PathBuf>,
}

impl Connection {
    /// Completes `url`, whose relative paths start from `base`; gives the password too, if one of
    /// the three places has one.
    pub(crate) fn complete(
        url: &PostgresUrl,
        base: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<(Self, Option<Secret>), Fault> {
        let mut parameters = url.given().clone();
        for (name, value) in &mut parameters {
            let is_path = Parameter::find(name)?.is_path();
            if is_path && value != SYSTEM {
                *value = absolute(base, value);
            }
        }
        if let Some(password) = url.password() {
            parameters.insert("password", password.expose().to_owned());
        }
        let service = parameters.remove("service");
        if let Some(name) = service.or_else(|| set(env, "PGSERVICE")) {
            for (name, value) in service::read(&name, env)? {
                parameters.entry(name).or_insert(value);
            }
        }
        from_environment(&mut parameters, env)?;
        let home = set(env, "HOME").map(PathBuf::from);
        if let Some(home) = &home {
            let passfile = || home.join(".pgpass").to_string_lossy().into_owned();
            parameters.entry("passfile").or_insert_with(passfile);
        }
        let password = parameters.remove("password").map(Secret::new);
        if parameters
            .get("sslrootcert")
            .is_some_and(|roots| roots == SYSTEM)
        {
            let strict = || "verify-full".to_owned();
            parameters.entry("sslmode").or_insert_with(strict);
        }
        let address = Address::of(&parameters)?;
        check_together(&parameters, &address)?;
        let connection = Self {
            parameters,
            address,
            home,
        };
        Ok((connection, password))
    }

    /// Name and value of each parameter that is set, and right by itself.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.parameters.iter();
        pairs.map(|(name, value)| (*name, value.as_str()))
    }

    /// The directory that libpq looks for certificates in, below `.postgresql`.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

/// As `sslrootcert`: the certificates that the system trusts.
const SYSTEM: &str = "system";

/// A variable that is set to something.
fn set(env: &BTreeMap<String, String>, variable: &str) -> Option<String> {
    env.get(variable).filter(|value| !value.is_empty()).cloned()
}

fn absolute(base: &Path, path: &str) -> String {
    base.join(path).to_string_lossy().into_owned()
}

/// Fills in what the environment says and nothing else did.
fn from_environment(
    parameters: &mut BTreeMap<&'static str, String>,
    env: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    for parameter in all_parameters().filter(|parameter| parameter.name != "service") {
        let found = parameter
            .variable
            .and_then(|name| Some((name, set(env, name)?)));
        let Some((variable, value)) = found else {
            continue;
        };
        if !parameters.contains_key(parameter.name) {
            parameter.check(
                &value,
                &format!("from the environment variable `{variable}`"),
            )?;
            parameters.insert(parameter.name, value);
        }
    }
    // The old way to ask for TLS, which libpq still heeds.
    if set(env, "PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
        parameters
            .entry("sslmode")
            .or_insert_with(|| "require".to_owned());
    }
    Ok(())
}

/// What is right by itself and wrong together.
fn check_together(
    parameters: &BTreeMap<&'static str, String>,
    address: &Address,
) -> Result<(), Fault> {
    let get = |name| parameters.get(name).map_or("", String::as_str);
    let mode = get("sslmode");
    if get("sslrootcert") == SYSTEM && mode != "verify-full" {
        let what = format!(
            "`sslrootcert=system` with `sslmode={mode}`: anybody can get such a certificate"
        );
        return Err(Fault::new(what, "use `sslmode=verify-full`"));
    }
    if get("sslnegotiation") == "direct" && !matches!(mode, "require" | "verify-ca" | "verify-full")
    {
        let what = "`sslnegotiation=direct` without a `sslmode` that demands TLS";
        return Err(Fault::new(
            what,
            "add `sslmode=verify-full`, or `sslmode=require`",
        ));
    }
    let never_tls = mode == "disable" || address.is_local();
    if get("channel_binding") == "require" && never_tls {
        let what = "`channel_binding=require` without TLS, which it needs";
        return Err(Fault::new(
            what,
            "name a host, with `sslmode=verify-full` or `sslmode=require`",
        ));
    }
    if mode == "verify-full" && address.has_unnamed() {
        let what = "`sslmode=verify-full` for a `hostaddr` without a name to check";
        return Err(Fault::new(
            what,
            "give the name as `host`, beside `hostaddr`",
        ));
    }
    let (least, most) = (
        get("ssl_min_protocol_version"),
        get("ssl_max_protocol_version"),
    );
    if most == "TLSv1.2" && least == "TLSv1.3" {
        let what = "`ssl_min_protocol_version` is above `ssl_max_protocol_version`";
        return Err(Fault::new(what, "remove one of them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
