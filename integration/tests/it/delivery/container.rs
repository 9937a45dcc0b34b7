//! The binary runs in what the Dockerfile makes: a Debian with no packages but its own, as its user, on a
//! root that cannot be written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lakeferry_delta_testkit::NewTable;
use lakeferry_postgres_testkit::Version;
use tempfile::TempDir;

use super::delivered;
use crate::{deployment::Deployment, tables};

/// The user of the image, and its group.
const USER: &str = "65532";

/// A root directory as the Dockerfile makes it, in a mount namespace of its own for each command.
struct Root {
    folder: TempDir,
}

impl Root {
    /// Unpacks what `integration/setup` made of Debian and the Dockerfile's packages, and puts the binary
    /// where the Dockerfile does.
    fn unpack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = made_by_setup();
        let mut unpack = Command::new("tar");
        unpack.arg("-xf").arg(made).arg("-C").arg(folder.path());
        super::run(&mut unpack).unwrap();
        let root = Self { folder };
        fs::copy(
            env!("CARGO_BIN_EXE_lakeferry"),
            root.path("usr/local/bin/lakeferry"),
        )
        .unwrap();
        root
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Runs a line of shell in it: read-only but for /tmp, as the image's user, with the image's variable
    /// and no others, `outside` seen at `inside`, to be read.
    fn run(&self, line: &str, outside: &Path, inside: &str) -> Output {
        fs::create_dir_all(self.path(inside)).unwrap();
        let root = self.folder.path().display();
        let mounts = format!(
            "set -e
             mount --bind '{root}' '{root}'
             mount --bind -o ro '{}' '{root}/{inside}'
             mount -o remount,bind,ro '{root}/{inside}'
             mount -t tmpfs none '{root}/tmp'
             mount -t proc none '{root}/proc'
             mount -o remount,bind,ro '{root}'
             exec chroot --userspec={USER}:{USER} '{root}' /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin \
                LAKEFERRY_CONFIG=/etc/lakeferry/lakeferry.yaml bash -c \"$0\"",
            outside.display()
        );
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-c", &mounts, line]);
        shell.output().unwrap()
    }
}

/// What `integration/setup` unpacks of Debian.
fn made_by_setup() -> PathBuf {
    let target = crate::oracle::python();
    let made = target
        .ancestors()
        .nth(3)
        .unwrap()
        .join("container-root.tar");
    assert!(
        made.exists(),
        "integration/setup makes {}; run it as root",
        made.display()
    );
    made
}

/// An exit code and what was said.
#[track_caller]
fn said(output: &Output) -> (Option<i32>, String) {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    (output.status.code(), format!("{stdout}{stderr}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_syncs_in_the_image_of_the_dockerfile() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root makes namespaces and other users");
        return;
    }
    let dockerfile = fs::read_to_string(delivered("config/container/Dockerfile")).unwrap();
    for line in [
        format!("USER {USER}:{USER}"),
        "ENV LAKEFERRY_CONFIG=/etc/lakeferry/lakeferry.yaml".to_owned(),
        "COPY --from=build /usr/local/bin/lakeferry /usr/local/bin/lakeferry".to_owned(),
    ] {
        assert!(dockerfile.lines().any(|other| other == line), "{line}");
    }
    let mut deployment = Deployment::start(Version::newest().unwrap());
    let lake = deployment.lake("words");
    tables::create(&lake, NewTable::with_feed(), &[(1, Some("one")), (2, None)]).await;
    deployment.job("words", Path::new("/srv/lake/words"), &[]);
    let root = Root::unpack();
    fs::create_dir_all(root.path("etc/lakeferry")).unwrap();
    fs::copy(
        deployment.config(),
        root.path("etc/lakeferry/lakeferry.yaml"),
    )
    .unwrap();
    let folder = lake.parent().unwrap();
    let run = |line: &str| said(&root.run(line, folder, "srv/lake"));

    // What it stands on is as it is meant.
    let (code, text) = run("id -u; touch /usr/local/bin/x /etc/x /srv/lake/x");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("65532\n"), "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");

    let (code, text) = run("lakeferry sync");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(deployment.sql("SELECT count(*) FROM words"), "2");
}

/// What the HEALTHCHECK runs says whether the daemon answers.
#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_asks_the_daemon() {
    let dockerfile = fs::read_to_string(delivered("config/container/Dockerfile")).unwrap();
    let (_, rest) = dockerfile.split_once("HEALTHCHECK").unwrap();
    let (_, list) = rest.split_once("CMD ").unwrap();
    let words: Vec<String> = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let (deployment, _table) = crate::daemon::start(Version::newest().unwrap(), "words", &[]).await;
    let daemon = crate::daemon::Daemon::start(&deployment).await;
    let port = daemon.address().rsplit(':').next().unwrap().to_owned();
    let check = || {
        let line = words[2].replace("8642", &port);
        let mut shell = Command::new(&words[0]);
        super::run(shell.arg(&words[1]).arg(line))
    };
    check().unwrap();
    assert_eq!(daemon.stop().await.code, Some(0));
    check().unwrap_err();
}
