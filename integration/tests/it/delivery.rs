//! What is delivered beside the binary is right: each file is read by a program that knows its format,
//! without an engine that would run it, and each of these programs refuses the file once a word of it
//! is misspelt.

mod container;
mod metrics;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::lakeferry::lakeferry_with;

/// What a program says of a file: an error if it is wrong.
type Verdict = Result<(), String>;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A file of the repository.
fn delivered(path: &str) -> PathBuf {
    Path::new(CHECKOUT).join(path)
}

/// A program of the environment that `integration/setup` makes.
fn python_tool(name: &str) -> PathBuf {
    crate::oracle::python().with_file_name(name)
}

/// Runs a program; its success is the verdict. What it says is both.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?}: {error}; run integration/setup"));
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    match output.status.success() {
        true => Ok(stdout + &stderr),
        false => Err(stdout + &stderr),
    }
}

/// Asserts that `check` takes the file at `path`, and none in which one of `words` is misspelt.
#[track_caller]
fn assert_checked(path: &str, words: &[&str], check: impl Fn(&Path) -> Verdict) {
    let path = delivered(path);
    check(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Others that it refers to lie beside it.
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let misspelt = folder.path().join(path.file_name().unwrap());
    for word in words {
        let mut wrong = (*word).to_owned();
        let last = wrong.pop().unwrap();
        wrong.extend(['q', last]);
        assert!(text.contains(word), "{word} is not in {}", path.display());
        fs::write(&misspelt, text.replacen(word, &wrong, 1)).unwrap();
        assert!(check(&misspelt).is_err(), "{wrong} is no problem");
    }
}

/// The product itself, where a file is its configuration.
fn validate(config: &Path) -> Verdict {
    let variables = [("FERRY_PASSWORD", "secret"), ("LAKEFERRY_TOKEN", "secret")];
    let said = lakeferry_with(config, &["validate", "--offline"], &variables);
    match said.code {
        0 => Ok(()),
        _ => Err(said.to_string()),
    }
}

#[test]
fn compose_is_a_specification() {
    let words = [
        "services",
        "healthcheck",
        "read_only",
        "stop_grace_period",
        "service_healthy",
    ];
    assert_checked("docker-compose.yml", &words, |file| {
        let mut check = Command::new(python_tool("check-jsonschema"));
        run(check
            .args(["--builtin-schema", "vendor.compose-spec"])
            .arg(file))
        .map(drop)
    });
}

/// A bind mount of what is not there is made as an empty directory, by root.
#[test]
fn compose_mounts_what_is_there() {
    let compose = fs::read_to_string(delivered("docker-compose.yml")).unwrap();
    let mounted: Vec<_> = (compose.split("\"./").skip(1))
        .filter_map(|rest| rest.split(':').next())
        .collect();
    assert_eq!(mounted.len(), 4, "{mounted:?}");
    for path in mounted {
        assert!(delivered(path).exists(), "{path}");
    }
}

#[test]
fn compose_runs_a_configuration() {
    assert_checked(
        "config/container/lakeferry.yaml",
        &["listen", "filter:", "serving:"],
        validate,
    );
}

#[test]
fn the_manifests_are_of_kubernetes() {
    let resources = |file: &Path, kinds: &[&str]| {
        let mut check = Command::new(python_tool("kubernetes-validate"));
        let said = run(check.args(["--strict"]).arg(file))?;
        // Of a kind that it does not know it only warns.
        let passed = |kind: &&str| said.contains(&format!("passed for resource {kind}/"));
        match kinds.iter().all(passed) {
            true => Ok(()),
            false => Err(said),
        }
    };
    let words = [
        "apps/v1",
        "Deployment",
        "terminationGracePeriodSeconds",
        "readinessProbe",
        "readOnlyRootFilesystem",
        "kind: Service",
        "ConfigMap",
    ];
    assert_checked("config/kubernetes/lakeferry.yaml", &words, |file| {
        resources(file, &["deployment", "service", "configmap"])
    });
    assert_checked(
        "config/kubernetes/secret.yaml",
        &["stringData", "Secret"],
        |file| resources(file, &["secret"]),
    );
}

/// The configuration in the manifests is one, and its probes are where the kubelet looks.
#[test]
fn the_manifests_run_a_configuration() {
    let words = ["listen", "probes: \"0", "schedule", "password: {"];
    assert_checked("config/kubernetes/lakeferry.yaml", &words, |file| {
        let manifests = fs::read_to_string(file).unwrap();
        let (_, text) = manifests.split_once("lakeferry.yaml: |\n").unwrap();
        let lines = text
            .lines()
            .map(|line| line.strip_prefix("    ").unwrap_or(line));
        let text: Vec<_> = lines.collect();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("lakeferry.yaml");
        fs::write(&config, text.join("\n")).unwrap();
        let port = manifests.contains("name: probes, containerPort: 8643");
        let address = manifests.contains("probes: \"0.0.0.0:8643\"");
        if !(port && address) {
            return Err("the kubelet asks where nobody answers".to_owned());
        }
        validate(&config)
    });
}

/// Who kills it waits longer than it may take to stop.
#[test]
fn nobody_kills_it_while_it_stops() {
    let seconds = |path: &str, before: &str| -> u64 {
        let text = fs::read_to_string(delivered(path)).unwrap();
        let (_, rest) = text
            .split_once(before)
            .unwrap_or_else(|| panic!("{before} is not in {path}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let manifests = "config/kubernetes/lakeferry.yaml";
    let stops = seconds(manifests, "stop_within: ");
    assert!(seconds(manifests, "terminationGracePeriodSeconds: ") > stops);
    let stops = seconds("config/reference.yaml", "\n  stop_within: ");
    assert!(seconds("docker-compose.yml", "stop_grace_period: ") > stops);
    assert!(seconds("config/systemd/lakeferry.service", "TimeoutStopSec=") > stops);
}

#[test]
fn the_kustomization_names_what_is_there() {
    let path = delivered("config/kubernetes/kustomization.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("resources: [").unwrap();
    let (resources, _) = rest.split_once(']').unwrap();
    for resource in resources.split(", ") {
        assert!(path.with_file_name(resource).exists(), "{resource}");
    }
}

#[test]
fn the_unit_is_of_systemd() {
    let words = [
        "Restart=",
        "ProtectSystem=",
        "TimeoutStopSec=",
        "@system-service",
    ];
    assert_checked("config/systemd/lakeferry.service", &words, |file| {
        let folder = tempfile::tempdir().unwrap();
        let unit = fs::read_to_string(file).unwrap();
        // The binary has to be where the unit says.
        let unit = unit.replace("/usr/local/bin/lakeferry", env!("CARGO_BIN_EXE_lakeferry"));
        let copy = folder.path().join("lakeferry.service");
        fs::write(&copy, unit).unwrap();
        let mut check = Command::new("systemd-analyze");
        run(check.args(["verify", "--recursive-errors=yes"]).arg(copy)).map(drop)
    });
}

#[test]
fn the_dockerfile_can_be_read() {
    let words = [
        "FROM",
        "HEALTHCHECK",
        "USER",
        "--from=",
        "--no-install-recommends",
    ];
    assert_checked("config/container/Dockerfile", &words, |file| {
        run(Command::new(python_tool("hadolint")).arg(file)).map(drop)
    });
}

/// The build stage leaves rust-toolchain.toml out, and has its version by its name.
#[test]
fn the_image_is_built_by_our_toolchain() {
    let toolchain = fs::read_to_string(delivered("rust-toolchain.toml")).unwrap();
    let (_, channel) = toolchain.split_once("channel = \"").unwrap();
    let (channel, _) = channel.split_once('"').unwrap();
    let dockerfile = fs::read_to_string(delivered("config/container/Dockerfile")).unwrap();
    let from = format!("FROM rust:{channel}-slim-bookworm AS build");
    assert!(dockerfile.lines().any(|line| line == from), "{from}");
}

#[test]
fn the_dashboard_is_of_grafana() {
    let words = [
        "gridPos",
        "expr",
        "drawStyle",
        "timeseries",
        "includeAll",
        "transformations",
    ];
    assert_checked("config/grafana/dashboards/lakeferry.json", &words, |file| {
        let script = delivered("integration/oracle/dashboard.py");
        run(Command::new(crate::oracle::python()).arg(script).arg(file)).map(drop)
    });
}

#[test]
fn the_rules_are_of_prometheus() {
    let words = ["scrape_configs", "honor_labels", "static_configs"];
    assert_checked("config/prometheus/prometheus.yml", &words, |file| {
        run(Command::new("promtool").args(["check", "config"]).arg(file)).map(drop)
    });
    let words = ["expr", "annotations", "increase", "humanizeDuration"];
    let tests = |file: &Path| {
        run(Command::new("promtool").args(["check", "rules"]).arg(file))?;
        // They name the rules that lie beside them.
        let tests = file.with_file_name("alerts.test.yml");
        run(Command::new("promtool").args(["test", "rules"]).arg(tests)).map(drop)
    };
    assert_checked("config/prometheus/alerts.yml", &words, tests);
}
