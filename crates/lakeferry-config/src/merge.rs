//! Several files as one tree: a later file over an earlier one, and an included file beside the
//! one that includes it.

use crate::{
    check::check_version,
    field::{Field, Written},
    node::{Content, Entry, Node},
    problem::{Fault, Report},
    secret::shown,
    section::Section,
};

/// Settings that say one thing by one of several keys, and so are replaced as a whole.
const WHOLE: [&str; 1] = ["password"];

/// `under` with what `over` says: mappings key by key, anything else replaced, lists too.
pub(crate) fn over(under: Node, over: Node) -> Node {
    let (mut entries, later) = match (under.content, over.content) {
        (Content::Map(entries), Content::Map(later)) => (entries, later),
        (_, content) => {
            return Node {
                place: over.place,
                content,
            };
        }
    };
    for entry in later {
        match entries.iter().position(|known| known.name == entry.name) {
            Some(index) if WHOLE.contains(&entry.name.as_str()) => entries[index] = entry,
            Some(index) => {
                let before = std::mem::replace(&mut entries[index].value, nothing(&entry.value));
                entries[index].value = self::over(before, entry.value);
            }
            None => entries.push(entry),
        }
    }
    Node {
        place: under.place,
        content: Content::Map(entries),
    }
}

fn nothing(node: &Node) -> Node {
    Node {
        place: node.place.clone(),
        content: Content::Nothing,
    }
}

/// Adds what the file `included` declares to `main`, which includes it. Nothing is declared in
/// two files.
pub(crate) fn include(main: &mut Node, included: Node, report: &mut Report) {
    if matches!(included.content, Content::Faulty) {
        return;
    }
    let Some(section) = Section::open(included, "the file", report) else {
        return;
    };
    for entry in section.into_entries() {
        match entry.name.as_str() {
            "version" => version(entry.value, report),
            "catalogs" | "targets" | "jobs" => declare(main, entry, report),
            "daemon" | "defaults" | "deployment" | "http" => {
                let what = format!("`{}` stands in a file that is included", entry.name);
                let hint = "move it to the file that includes this one; it holds for all files";
                report.add(&entry.place, Fault::new(what, hint));
            }
            // Whoever reads the tree reports it as unknown.
            _ => push(main, entry),
        }
    }
}

/// Checks a version that needs not be there.
pub(crate) fn version(node: Node, report: &mut Report) {
    let place = node.place;
    let (Content::Number(value) | Content::Text(value)) = node.content else {
        let what = format!("`version` is {}, not a number", node.content.kind());
        report.add(&place, Fault::new(what, "write `version: 1`"));
        return;
    };
    let _ = Field::Given(Written { value, place }).check(report, check_version);
}

/// Adds the entries of one section to that of `main`.
fn declare(main: &mut Node, section: Entry, report: &mut Report) {
    let title = format!("`{}`", section.name);
    let Some(known) = main.get_mut(&section.name) else {
        push(main, section);
        return;
    };
    let Some(new) = Section::open(section.value, &title, report) else {
        return;
    };
    // A section of the main file that is no mapping is reported when it is read.
    let Content::Map(known) = &mut known.content else {
        return;
    };
    for entry in new.into_entries() {
        if let Some(first) = known.iter().find(|known| known.name == entry.name) {
            let (file, line) = (first.place.file.display(), first.place.line);
            let noun = section.name.trim_end_matches('s');
            let what = format!("{noun} {} is in {file}:{line} as well", shown(&entry.name));
            let hint = "keep one of the two; to change what an earlier file says, give both with \
                `--config`";
            report.add(&entry.place, Fault::new(what, hint));
        } else {
            known.push(entry);
        }
    }
}

fn push(main: &mut Node, entry: Entry) {
    if let Content::Map(entries) = &mut main.content {
        entries.push(entry);
    }
}
