//! What time alone changes at one version: the rows for which the filter's verdict at one instant is
//! not the one at another. Files and row groups that cannot hold any are not read.

use std::sync::Arc;

use lakeferry_model::{ChangeBatch, DeltaVersion, Instant, Size, Watermark};

use crate::{
    check::size_in,
    error::Result,
    reader::{Batches, stream},
    shape::Shape,
    snapshot,
    table::Table,
};

/// Streams the rows at `watermark` that go or come until `until`.
pub(crate) async fn rows(
    table: Arc<Table>,
    watermark: &Watermark<DeltaVersion>,
    until: Instant,
) -> Result<Batches<ChangeBatch<DeltaVersion>>> {
    table.verify(watermark).await?;
    let at = table.load(Some(watermark.version)).await?;
    table.same(watermark, &at)?;
    let shape = Shape::moving(&table.settings, &at, watermark.instant, until)?;
    let (name, watermark) = (table.name().to_owned(), watermark.clone());
    Ok(stream(&name, |outlet| async move {
        let version = watermark.version;
        let give = move |sign, rows| {
            outlet.give(ChangeBatch {
                version,
                sign,
                rows,
            })
        };
        let read = match shape.may_move() {
            true => snapshot::read(&table, at, Arc::new(shape), give).await,
            false => Ok(()),
        };
        table.trusting(read)?;
        table.verify(&watermark).await
    }))
}

/// How much of the table [`rows`] reads, at most.
pub(crate) async fn size(
    table: &Table,
    watermark: &Watermark<DeltaVersion>,
    until: Instant,
) -> Result<Size> {
    let at = table.load(Some(watermark.version)).await?;
    let shape = Shape::moving(&table.settings, &at, watermark.instant, until)?;
    match shape.may_move() {
        true => size_in(table, at, shape).await,
        false => Ok(Size::default()),
    }
}
