//! The changes of commits without a feed: the rows that differ between the files that went and
//! those that came.
//!
//! Each commit takes the rows of some files away and adds those of others; a file with another
//! deletion vector counts as another file. Over a range these sums meet: a file that came and went
//! again contributes nothing, and neither does one that an OPTIMIZE rewrote, whose rows stay what
//! they were. So what is read is net, at most the table before and after, however many commits
//! there are. Of a file that only got another deletion vector no row is read but those that came
//! and went by it. Rows that were only copied cancel, see [`Difference`].

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::RecordBatch;
use delta_kernel::{
    Engine, SnapshotRef,
    scan::{Scan, scan_row_schema, state::ScanFile},
};
use lakeferry_model::{ChangeBatch, Content, DeltaVersion, Sign};

use crate::{
    changes::{Changes, unlike},
    data_file::DataFile,
    difference::{Counted, Difference},
    engine::{blocking, parsed},
    error::{Error, Result, failed},
    files::{FileReader, Part, listed},
    reader::Wanted,
    shape::Shape,
    snapshot::scan,
    survey::Surveyed,
    table::Table,
};

/// What went and what came.
struct Net<T> {
    minus: Vec<T>,
    plus: Vec<T>,
}

impl<T> Net<T> {
    fn of(&self, sign: Sign) -> &Vec<T> {
        match sign {
            Sign::Minus => &self.minus,
            Sign::Plus => &self.plus,
        }
    }
}

/// Reads what `commits` changed; `last` is the table at the last of them. All changes have its
/// version.
pub(crate) async fn read(
    table: &Table,
    last: SnapshotRef,
    shape: Arc<Shape>,
    commits: &[Surveyed],
    outlet: Changes,
) -> Result<()> {
    let net = net(table.name(), commits)?;
    let version = DeltaVersion(last.version());
    let give = move |sign, rows| {
        outlet.give(ChangeBatch {
            version,
            sign,
            rows,
        })
    };
    let output = shape.output.clone();
    let (reader, parts) = opened(table, last, shape, net).await?;
    let nothing_cancels = parts.minus.is_empty() || parts.plus.is_empty();
    if nothing_cancels {
        return each_row(&reader, &parts, give).await;
    }
    let mut difference = Difference::new(table.name(), &output)?;
    while let Some(pass) = difference.next_pass() {
        let counting = pass.clone();
        each_row(&reader, &parts, move |sign, rows| {
            counting.count(sign, rows)
        })
        .await?;
        match pass.counted()? {
            Counted::TooMany => difference.halve()?,
            Counted::Held(rows) => {
                let give = give.clone();
                let giving = move || {
                    for (sign, rows) in rows {
                        if give(sign, pass.rest(sign, &rows)?) == Wanted::NoMore {
                            break;
                        }
                    }
                    Ok(())
                };
                blocking(table.name(), giving).await?;
            }
            Counted::ReadAgain => {
                let (taking, give) = (pass.clone(), give.clone());
                let take = move |sign, rows: RecordBatch| match taking.rest(sign, &rows) {
                    Ok(rest) => give(sign, rest),
                    Err(error) => taking.fail(error),
                };
                each_row(&reader, &parts, take).await?;
                pass.outcome()?;
            }
        }
    }
    Ok(())
}

async fn each_row(
    reader: &Arc<FileReader>,
    parts: &Net<Part>,
    give: impl Fn(Sign, RecordBatch) -> Wanted + Clone + Send + 'static,
) -> Result<()> {
    for sign in [Sign::Minus, Sign::Plus] {
        let (parts, give) = (parts.of(sign).clone(), give.clone());
        let parts = Box::new(parts.into_iter().map(Ok));
        reader.read(parts, move |rows| give(sign, rows)).await?;
    }
    Ok(())
}

/// The files that `commits` took away and added, net.
fn net(table: &str, commits: &[Surveyed]) -> Result<Net<DataFile>> {
    let mut counts = BTreeMap::<&DataFile, i32>::new();
    for commit in commits {
        if matches!(commit.content, Content::Feed | Content::Opaque) {
            return Err(unlike(table, commit, "the files that came and went"));
        }
        for (sign, file) in &commit.actions.files {
            *counts.entry(file).or_default() += match sign {
                Sign::Minus => -1,
                Sign::Plus => 1,
            };
        }
    }
    let mut net = Net {
        minus: Vec::new(),
        plus: Vec::new(),
    };
    for (file, count) in counts {
        match count {
            0 => {}
            -1 => net.minus.push(file.clone()),
            1 => net.plus.push(file.clone()),
            _ => {
                return Err(Error::Lost {
                    table: table.to_owned(),
                    what: format!("the log adds or removes {} more than once", file.path),
                    source: None,
                });
            }
        }
    }
    Ok(net)
}

/// The parts of files to read, as the kernel wants them. `last` knows the schema; its own log is not
/// replayed.
async fn opened(
    table: &Table,
    last: SnapshotRef,
    shape: Arc<Shape>,
    net: Net<DataFile>,
) -> Result<(Arc<FileReader>, Net<Part>)> {
    let (name, engine) = (table.name().to_owned(), table.engine());
    blocking(table.name(), move || {
        let version = last.version();
        let scan = scan(&name, last, &shape, None)?;
        let of = |files: &[DataFile]| scan_files(&name, engine.as_ref(), &scan, version, files);
        let (minus, plus) = (of(&net.minus)?, of(&net.plus)?);
        let part = |file: &ScanFile, others: &BTreeMap<String, ScanFile>| Part {
            deleted_by: others.get(&file.path).map(|other| other.dv_info.clone()),
            file: file.clone(),
        };
        let parts = Net {
            minus: minus.values().map(|file| part(file, &plus)).collect(),
            plus: plus.values().map(|file| part(file, &minus)).collect(),
        };
        let reader = FileReader::new(&name, engine.clone(), &scan, shape);
        Ok((reader, parts))
    })
    .await
}

/// `files` by their paths, as a scan at `version` would list them.
fn scan_files(
    table: &str,
    engine: &dyn Engine,
    scan: &Scan,
    version: u64,
    files: &[DataFile],
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
