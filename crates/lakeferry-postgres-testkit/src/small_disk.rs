//! A disk that is soon full: a file system in memory that only the server's process sees, and that
//! is gone with it, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::account::Account;

/// Mounts, then becomes the server, so that the process keeps its number.
const MOUNT_AND_RUN: &str = "\
disk=$1 size=$2 owner=$3 group=$4; shift 4
mount -t tmpfs -o \"size=${size}m,mode=700,uid=$owner,gid=$group\" tmpfs \"$disk\" || exit 1
exec setpriv --reuid \"$owner\" --regid \"$group\" --clear-groups \"$@\"";

#[derive(Debug)]
pub(crate) struct SmallDisk {
    path: PathBuf,
    megabytes: u32,
}

impl SmallDisk {
    pub(crate) fn create(path: &Path, megabytes: u32) -> Result<Self> {
        fs::create_dir(path)?;
        Ok(Self {
            path: path.to_owned(),
            megabytes,
        })
    }

    /// The program as `account`, in a space of mounts of its own.
    pub(crate) fn mount_and_run(&self, account: Account, program: &Path) -> Command {
        let (user, group) = account.numbers();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", MOUNT_AND_RUN, "sh"])
            .arg(&self.path)
            .arg(self.megabytes.to_string())
            .args([user.to_string(), group.to_string()])
            .arg(program);
        command
    }
}

/// Whether this process may mount, as root may on most machines.
#[must_use]
pub fn can_mount() -> bool {
    let try_it = "mount -t tmpfs tmpfs /mnt && exec setpriv --clear-groups true";
    let tried = Command::new("unshare")
        .args(["--mount", "sh", "-c", try_it])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}
