//! A loopback port that belongs to one server for its whole life, also while it is stopped.
//!
//! Tests run in many processes at once, so a port is held by a lock on a file; the ports lie below
//! the range from which the system serves outgoing connections.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port and the lock that holds it; dropping it, or the end of the process, frees the port.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn hold() -> Result<Self> {
        let locks = env::temp_dir().join(format!(
            "lakeferry-ports-{}",
            rustix::process::geteuid().as_raw()
        ));
        fs::create_dir_all(&locks).with_context(|| format!("cannot make {}", locks.display()))?;
        // Neighbouring processes start far from each other.
        let start = std::process::id().wrapping_mul(97) % COUNT;
        for step in 0..COUNT {
            let number = u16::try_from(FIRST + (start + step) % COUNT)?;
            if let Some(lock) = try_hold(&locks, number)? {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        bail!("no free port from {FIRST} to {}", FIRST + COUNT - 1)
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

fn try_hold(locks: &Path, number: u16) -> Result<Option<File>> {
    let path = locks.join(number.to_string());
    let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let free = lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
    Ok(free.then_some(lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_not_given_twice() {
        let first = Port::hold().unwrap();
        let second = Port::hold().unwrap();
        assert_ne!(first.number(), second.number());
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let held = Port::hold().unwrap();
        let number = held.number();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        drop(held);
        assert_ne!(Port::hold().unwrap().number(), number);
    }
}
