//! A fault is in the copy exactly while it is applied, and never in the checkout.

use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::sabotage::NamedTest;

const MANIFEST: &str = "[workspace.package]\nversion = \"0.1.0\"\n\n[workspace.dependencies]\n";

struct Bench {
    _folder: TempDir,
    tree: Tree,
    files: BTreeSet<PathBuf>,
}

/// A checkout of a manifest and `src/a.rs`, and its copy.
fn bench() -> Bench {
    let folder = TempDir::new().expect("a folder");
    let checkout = folder.path().join("checkout");
    fs::create_dir_all(checkout.join("src")).expect("a checkout");
    fs::write(checkout.join("Cargo.toml"), MANIFEST).expect("a manifest");
    fs::write(checkout.join("src/a.rs"), "if a <= b { c() }").expect("a file");
    let tree = Tree::at(&checkout, &folder.path().join("tree"));
    let files = ["Cargo.toml", "src/a.rs"]
        .into_iter()
        .map(PathBuf::from)
        .collect();
    let bench = Bench {
        _folder: folder,
        tree,
        files,
    };
    bench.copy();
    bench
}

impl Bench {
    fn copy(&self) {
        self.tree.copy(&self.files).expect("a copy");
    }

    fn copied(&self) -> String {
        fs::read_to_string(self.tree.folder.join("src/a.rs")).expect("the copied file")
    }

    fn original(&self) -> String {
        fs::read_to_string(self.tree.checkout.join("src/a.rs")).expect("the file")
    }

    /// Gives the copied file an old date.
    fn age(&self) -> SystemTime {
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file = fs::File::options()
            .write(true)
            .open(self.tree.folder.join("src/a.rs"));
        file.and_then(|file| file.set_modified(old))
            .expect("an old date");
        old
    }

    fn date(&self) -> SystemTime {
        let metadata = fs::metadata(self.tree.folder.join("src/a.rs"));
        metadata
            .and_then(|metadata| metadata.modified())
            .expect("a date")
    }
}

fn fault(find: &'static str, replace: &'static str) -> Fault {
    Fault {
        name: "off-by-one",
        breaks: "the last version is lost",
        file: "src/a.rs",
        find,
        replace,
        test: NamedTest {
            package: "a",
            program: &["--lib"],
            filter: "a",
        },
    }
}

#[test]
fn a_fault_is_in_the_copy_while_it_is_applied() {
    let bench = bench();
    let fault = fault("a <= b", "a < b");
    let text = bench.tree.sabotaged(&fault).unwrap();
    let applied = bench.tree.put(&fault, &text).unwrap();
    assert_eq!(bench.copied(), "if a < b { c() }");
    assert_eq!(bench.original(), "if a <= b { c() }");
    let old = bench.age();
    drop(applied);
    assert_eq!(bench.copied(), "if a <= b { c() }");
    assert!(
        bench.date() > old,
        "cargo would not see that the fault is gone"
    );
}

#[test]
fn a_text_that_is_not_there_once_is_refused() {
    let bench = bench();
    for (find, replace, says) in [
        ("a >= b", "a > b", "not in"),
        (" ", "", "6 times"),
        ("a <= b", "a <= b", "changes nothing"),
    ] {
        let error = bench.tree.sabotaged(&fault(find, replace)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn only_what_changed_is_written_again() {
    let bench = bench();
    let old = bench.age();
    bench.copy();
    assert_eq!(bench.date(), old);
    fs::write(bench.tree.checkout.join("src/a.rs"), "c()").unwrap();
    bench.copy();
    assert_eq!(bench.copied(), "c()");
    assert!(bench.date() > old);
}

#[test]
fn a_copy_heals_what_a_killed_run_left() {
    let bench = bench();
    let fault = fault("a <= b", "a < b");
    let text = bench.tree.sabotaged(&fault).unwrap();
    std::mem::forget(bench.tree.put(&fault, &text).unwrap());
    fs::create_dir(bench.tree.folder.join("left")).unwrap();
    fs::write(bench.tree.folder.join("left/over.txt"), "").unwrap();
    let old = bench.age();
    bench.copy();
    assert_eq!(bench.copied(), bench.original());
    assert!(bench.date() > old);
    assert!(!bench.tree.folder.join("left").exists());
}

#[test]
fn the_crates_of_the_copy_have_a_version_of_their_own() {
    let bench = bench();
    let manifest = fs::read_to_string(bench.tree.folder.join("Cargo.toml")).unwrap();
    assert_eq!(manifest, MANIFEST.replace("0.1.0", "0.1.0+sabotage"));
    let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.1.0\"\ndependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\nsource = \"registry\"\n";
    assert_eq!(
        mark_lock(lock),
        lock.replacen("\"0.1.0\"", "\"0.1.0+sabotage\"", 1)
    );
}
