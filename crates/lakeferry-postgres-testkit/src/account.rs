//! The account that a server runs as: Postgres refuses root, so root hands it to `postgres`, or
//! to `nobody` where no such account exists.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// `None` inside stands for the account that runs the test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account(Option<Ids>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    user: u32,
    group: u32,
}

impl Account {
    pub(crate) fn for_server() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read the accounts")?;
        let ids = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| ids(&accounts, name));
        let ids = ids.context("root needs an account named postgres or nobody to run postgres")?;
        Ok(Self(Some(ids)))
    }

    /// Whether it is another account than the one that runs the test.
    pub(crate) fn is_other(self) -> bool {
        self.0.is_some()
    }

    /// User and group.
    pub(crate) fn numbers(self) -> (u32, u32) {
        let own = || {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            (user.as_raw(), group.as_raw())
        };
        self.0.map_or_else(own, |ids| (ids.user, ids.group))
    }

    pub(crate) fn own(self, path: &Path) -> Result<()> {
        let Some(ids) = self.0 else { return Ok(()) };
        chown(path, Some(ids.user), Some(ids.group))
            .with_context(|| format!("cannot give {} away", path.display()))
    }

    /// Runs the command as this account, without the groups of root.
    pub(crate) fn run_as(self, command: &mut Command) {
        if let Some(ids) = self.0 {
            command.uid(ids.user).gid(ids.group);
        }
    }
}

/// The ids of an account in the format of passwd(5): `name:password:user:group:…`.
fn ids(accounts: &str, name: &str) -> Option<Ids> {
    accounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        match fields[..] {
            [first, _, user, group, ..] if first == name => Some(Ids {
                user: user.parse().ok()?,
                group: group.parse().ok()?,
            }),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "daemon:x:1:1::/:/bin/sh\npostgresql:x:7:7::/:/bin/sh\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        assert_eq!(
            ids(accounts, "postgres"),
            Some(Ids {
                user: 101,
                group: 104
            })
        );
        assert_eq!(ids(accounts, "nobody"), None);
    }

    #[test]
    fn a_file_can_be_given_to_the_account() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let account = Account::for_server().unwrap();
        account.own(file.path()).unwrap();
        let expected = account
            .0
            .map_or(rustix::process::geteuid().as_raw(), |ids| ids.user);
        assert_eq!(file.path().metadata().unwrap().uid(), expected);
    }
}
