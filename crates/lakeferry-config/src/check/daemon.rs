//! How jobs run unattended.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::{
    Daemon, Http,
    amount::{parse_runs, parse_time},
    check::{Surroundings, targets::found_where},
    problem::{Fault, Report},
    raw::{RawDaemon, RawHttp},
    secret::shown,
};

/// Each run takes its memory, and the machine is not ours alone.
const DEFAULT_MAX_RUNS: u32 = 4;
/// Less than the 30 seconds that Kubernetes waits before it kills.
const DEFAULT_STOP_WITHIN: Duration = Duration::from_secs(20);

/// For this machine alone.
const DEFAULT_PORT: u16 = 8642;

pub(crate) fn check(raw: RawDaemon, report: &mut Report) -> Option<Daemon> {
    let max_runs = raw.max_runs.check(report, |text| parse_runs(&text));
    let stop_within = raw.stop_within.check(report, |text| parse_time(&text));
    Some(Daemon {
        max_runs: max_runs.or_default(DEFAULT_MAX_RUNS)?,
        stop_within: stop_within.or_default(DEFAULT_STOP_WITHIN)?,
    })
}

pub(crate) fn check_http(
    raw: RawHttp,
    surroundings: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Http> {
    let listen = raw.listen.check(report, |text| parse_listen(&text));
    let probes = raw.probes.check(report, |text| parse_listen(&text));
    let token = raw.token.check_at(report, |token, place| {
        found_where(token, "token", place, surroundings)
    });
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
    Some(Http {
        listen: listen.or_default(Some(default))?,
        probes: probes.or_default(None)?,
        token: token.optional()?,
    })
}

/// Reads an address with its port, or `none`.
fn parse_listen(text: &str) -> Result<Option<SocketAddr>, Fault> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let what = format!("{} is not an address with a port", shown(text));
        Fault::new(
            what,
            "write it like \"127.0.0.1:8642\" or \"[::]:8642\", or none",
        )
    })
}
