//! The benchmarks: builds what they measure and hands over to `benches/bench.py`.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::checkout::Checkout;
use crate::stage::{self, execute};

/// Those beside other tools.
const RACES: [&str; 2] = ["backfill", "increment"];

/// Those that hold a figure against what is promised.
pub(crate) const PROMISES: [&str; 5] = ["latency", "idle", "unchanged", "growth", "behind"];

/// Little data.
const QUICK: &str = "--scale 0.01 --rounds 1 --commits 20 --jobs 20 --seconds 5 --table-rows 20000 \
    --behind-bytes 20000000";

/// Readies the machine, builds, and runs the benchmark of this name. If `quick`, with the development
/// profile on very little data: whether it works, no figures.
pub(crate) fn run(
    checkout: &Checkout,
    name: &str,
    quick: bool,
    options: &[String],
) -> Result<ExitCode> {
    let root = checkout.root();
    execute(Command::new("integration/setup").current_dir(root))?;
    let environment = checkout.target().join("bench-venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        execute(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--requirement"];
    let mut requirements = vec!["benches/requirements.txt"];
    if RACES.contains(&name) {
        requirements.push("benches/peers/requirements.txt");
    }
    for requirements in requirements {
        let requirements = root.join(requirements);
        execute(Command::new(&python).args(install).arg(requirements))?;
    }
    let (profile, measured) = match quick {
        true => ("dev", "debug/lakeferry"),
        false => ("release", "release/lakeferry"),
    };
    let build = ["build", "--locked", "--package", "lakeferry", "--bins"];
    if !quick {
        println!("building with the release profile: half an hour on two cores the first time");
        execute(
            stage::cargo()
                .current_dir(root)
                .args(build)
                .arg("--release"),
        )?;
    }
    let build = ["build", "--locked", "--workspace", "--bins", "--example"];
    execute(stage::cargo().current_dir(root).args(build).arg("data"))?;
    let commit = Command::new("git")
        .current_dir(root)
        .args(["describe", "--always", "--dirty"])
        .output()?;
    let work = match quick {
        true => "bench-quick",
        false => "bench",
    };
    let mut bench = Command::new(python);
    bench
        .current_dir(root)
        .arg("benches/bench.py")
        .arg(name)
        .args(options)
        .args(["--profile", profile, "--commit"])
        .arg(String::from_utf8_lossy(&commit.stdout).trim())
        .arg("--lakeferry")
        .arg(checkout.target().join(measured))
        .arg("--data-maker")
        .arg(checkout.target().join("debug/examples/data"))
        .arg("--work")
        .arg(checkout.target().join(work));
    if quick {
        bench.args(QUICK.split_whitespace()).arg("--results");
        bench.arg(checkout.target().join("bench-results"));
    }
    Ok(match bench.status()?.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
