//! The changes of commits without a feed: the rows that differ between the files that went and
//! those that came.
//!
//! Each commit takes the rows of some files away and adds those of others; a file with another
//! deletion vector counts as another file. Over a range these sums meet: a file that came and went
//! again contributes nothing. Files whose rows were only put into others (OPTIMIZE) may be left out
//! of the sums or not, the difference is the same; what is less to read is read. So at most the
//! files before and after are, however many commits there are. Of a file that only got another
//! deletion vector no row is read but those that came and went by it. Rows that were only copied
//! cancel, see [`Difference`]; where row tracking tells of them they are not read at all, see
//! [`Tracking`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arrow_array::RecordBatch;
use delta_kernel::{
    Engine, SnapshotRef,
    scan::{Scan, scan_row_schema, state::ScanFile},
};
use lakeferry_model::{ChangeBatch, CommitRange, Content, DeltaVersion, Sign};

use crate::{
    changes::Changes,
    data_file::{DataFile, Identity, SignedFile},
    difference::{Counted, Difference, Pass},
    engine::{blocking, parsed},
    error::{Error, Result, failed},
    files::{FileReader, listed},
    part::Part,
    reader::Wanted,
    shape::Shape,
    snapshot::scan,
    survey::Surveyed,
    table::{Table, is_partitioned},
    tracking::Tracking,
};

/// Reads what `commits`, which are those of `range`, changed. All changes have the version of the last
/// of them; `shown` is the table at that version or a later one, in whose columns they are.
pub(crate) async fn read(
    table: &Table,
    (shown, range): (SnapshotRef, &CommitRange<DeltaVersion>),
    (shape, tracking): (Arc<Shape>, Option<Tracking>),
    commits: &[Surveyed],
    outlet: Changes,
) -> Result<()> {
    let files = net(table.name(), commits, is_partitioned(&shown))?;
    let columns = shape.output.clone();
    let (reader, mut parts) = opened(table, shown, shape, files).await?;
    let closed = outlet.clone();
    if let Some(tracking) = tracking.filter(|_| !are_of_one_sign(&parts)) {
        let (reader, closed) = (reader.clone(), closed.clone());
        let after = range.after().version;
        let unpaired = move || tracking.unpaired(&reader, after, parts, || closed.wanted());
        parts = blocking(table.name(), unpaired).await?;
    }
    let all = || Box::new(parts.clone().into_iter().map(Ok));
    let version = range.through().version;
    let give = move |sign, rows| {
        outlet.give(ChangeBatch {
            version,
            sign,
            rows,
        })
    };
    if are_of_one_sign(&parts) {
        return reader.read(all(), give).await.map(drop);
    }
    let mut difference = Difference::new(table.name(), &columns)?;
    while let Some(pass) = difference.next_pass() {
        let (counting, closed) = (pass.clone(), closed.clone());
        let count = move |sign, rows| match closed.wanted() {
            Wanted::More => counting.count(sign, rows),
            Wanted::NoMore => Wanted::NoMore,
        };
        let counted = reader.read(all(), count).await?;
        let wanted = match (pass.counted()?, counted) {
            (Counted::TooMany, _) => {
                difference.halve()?;
                continue;
            }
            (_, Wanted::NoMore) => Wanted::NoMore,
            (Counted::Held(rows), _) => give_held(table, pass, rows, give.clone()).await?,
            (Counted::ReadAgain, _) => {
                let (taking, give) = (pass.clone(), give.clone());
                let take = move |sign, rows: RecordBatch| match taking.rest(sign, &rows) {
                    Ok(rest) => give(sign, rest),
                    Err(error) => taking.fail(error),
                };
                let wanted = reader.read(all(), take).await?;
                pass.outcome()?;
                if wanted == Wanted::More && !pass.is_even() {
                    return Err(Error::Moved {
                        table: table.name().to_owned(),
                        what: "its files changed while they were read".to_owned(),
                    });
                }
                wanted
            }
        };
        if wanted == Wanted::NoMore {
            break;
        }
    }
    Ok(())
}

/// Whether no row of one can be equal to a row of another with the other sign.
fn are_of_one_sign(parts: &[Part]) -> bool {
    parts.windows(2).all(|two| two[0].sign == two[1].sign)
}

async fn give_held(
    table: &Table,
    pass: Arc<Pass>,
    rows: Vec<(Sign, RecordBatch)>,
    give: impl Fn(Sign, RecordBatch) -> Wanted + Send + 'static,
) -> Result<Wanted> {
    blocking(table.name(), move || {
        for (sign, rows) in rows {
            if give(sign, pass.rest(sign, &rows)?) == Wanted::NoMore {
                return Ok(Wanted::NoMore);
            }
        }
        Ok(Wanted::More)
    })
    .await
}

/// The files that `commits` took away and added, net: with those that were only rearranged or
/// without, whichever is less to read.
///
/// # Errors
/// [`Error::Lost`] if the log does not tell enough: a snapshot is read instead.
fn net(table: &str, commits: &[Surveyed], partitioned: bool) -> Result<Vec<SignedFile>> {
    let [changed, all] = [false, true].map(|rearranged| {
        let files = summed(commits, rearranged)?;
        is_readable(&files, partitioned).then_some(files)
    });
    let bytes = |files: &Vec<SignedFile>| -> u64 {
        files.iter().filter_map(|signed| signed.file.size).sum()
    };
    let recast = commits
        .iter()
        .find(|commit| commit.content == Content::Opaque && commit.actions.metadata);
    match (recast, changed.into_iter().chain(all).min_by_key(bytes)) {
        (None, Some(files)) => Ok(files),
        (_, _) => Err(Error::Lost {
            table: table.to_owned(),
            what: "its log does not tell enough of the files that were removed".to_owned(),
            source: None,
        }),
    }
}

/// What the files of `commits` come to; nothing if one was added or removed more than once.
fn summed(commits: &[Surveyed], rearranged: bool) -> Option<Vec<SignedFile>> {
    let mut sums = BTreeMap::<Identity<'_>, (i64, &SignedFile)>::new();
    for commit in commits {
        let files = commit.actions.files.iter().flatten();
        let takes = |signed: &SignedFile| !signed.data_change && signed.sign == Sign::Minus;
        // Files that are only added were there before: what is new is their statistics or row ids.
        let rearranged = rearranged && files.clone().any(takes);
        for signed in files.filter(|signed| rearranged || signed.data_change) {
            let identity = signed.file.identity();
            let (sum, last) = sums.entry(identity).or_insert((0, signed));
            match signed.sign {
                Sign::Minus => *sum -= 1,
                Sign::Plus => *sum += 1,
            }
            *last = signed;
        }
    }
    let left = sums.into_values().filter(|(sum, _)| *sum != 0);
    left.map(|(sum, last)| match (sum, last.sign) {
        (-1, Sign::Minus) | (1, Sign::Plus) => Some(last.clone()),
        _ => None,
    })
    .collect()
}

/// Whether all of `files` can be read, and no path is there twice with one sign: deletion vectors
/// are told apart by path.
fn is_readable(files: &[SignedFile], partitioned: bool) -> bool {
    let mut paths = BTreeSet::new();
    files.iter().all(|signed| {
        let is_plus = signed.sign == Sign::Plus;
        signed.file.is_told(partitioned) && paths.insert((&signed.file.path, is_plus))
    })
}

/// The parts of files to read, as the kernel wants them. `shown` knows the schema; its own log is
/// not replayed.
async fn opened(
    table: &Table,
    shown: SnapshotRef,
    shape: Arc<Shape>,
    files: Vec<SignedFile>,
) -> Result<(Arc<FileReader>, Vec<Part>)> {
    let (name, engine) = (table.name().to_owned(), table.engine());
    blocking(table.name(), move || {
        let version = shown.version();
        let scan = scan(&name, shown, &shape, None)?;
        let of = |sign| {
            let files = files.iter().filter(|signed| signed.sign == sign);
            let files: Vec<_> = files.map(|signed| &signed.file).collect();
            scan_files(&name, engine.as_ref(), &scan, version, &files)
        };
        let (minus, plus) = (of(Sign::Minus)?, of(Sign::Plus)?);
        let mut parts = Vec::new();
        let fresh = files.iter().map(|signed| {
            let file = &signed.file;
            ((signed.sign, file.path.as_str()), file.fresh)
        });
        let fresh: HashMap<_, _> = fresh.collect();
        for (sign, files, others) in [(Sign::Minus, &minus, &plus), (Sign::Plus, &plus, &minus)] {
            parts.extend(files.values().map(|file| Part {
                sign,
                deleted_by: others.get(&file.path).map(|other| other.dv_info.clone()),
                fresh: fresh.get(&(sign, file.path.as_str())).copied().flatten(),
                ..Part::whole(file.clone())
            }));
        }
        parts.retain(Part::has_rows);
        // A copy is about as large as what it is of: read side by side, their rows cancel at once.
        parts.sort_by_key(|part| Reverse(part.file.size));
        Ok((FileReader::new(&name, engine, &scan, shape), parts))
    })
    .await
}

/// `files` by their paths, as a scan at `version` would list them.
fn scan_files(
    table: &str,
    engine: &dyn Engine,
    scan: &Scan,
    version: u64,
    files: &[&DataFile],
) -> Result<BTreeMap<String, ScanFile>> {
    let trouble = |error| failed(table, "list the files that came and went", error);
    if files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = files.iter().map(|file| file.scan_row().to_string());
    let rows = parsed(engine, rows.collect(), scan_row_schema()).map_err(trouble)?;
    let batches = scan
        .scan_metadata_from(engine, version, std::iter::once(rows), None)
        .map_err(trouble)?;
    let found: BTreeMap<_, _> = batches
        .flat_map(|batch| listed(table, batch))
        .map(|file| file.map(|file| (file.path.clone(), file)))
        .collect::<Result<_>>()?;
    if found.len() == files.len() {
        return Ok(found);
    }
    Err(Error::Broken {
        table: table.to_owned(),
        what: format!("of {} files {} are listed", files.len(), found.len()),
        source: None,
    })
}
