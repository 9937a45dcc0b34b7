//! Which rows of a data file are wanted, and which way they went.

use std::ops::Range;

use arrow_buffer::BooleanBuffer;
use delta_kernel::{
    DeltaResult, Engine,
    scan::state::{DvInfo, ScanFile},
};
use lakeferry_model::Sign;
use url::Url;

use crate::data_file::Fresh;

/// Rows of one file.
#[derive(Clone)]
pub(crate) struct Part {
    /// Whether its rows went or came.
    pub(crate) sign: Sign,
    pub(crate) file: ScanFile,
    /// Of its live rows, only those that this deletes.
    pub(crate) deleted_by: Option<DvInfo>,
    /// Only the row groups that begin between these bytes.
    pub(crate) stretch: Option<Range<u64>>,
    /// Only these of all rows that the file has, whatever deletion vectors there are.
    pub(crate) only: Option<BooleanBuffer>,
    /// What row tracking says of its file.
    pub(crate) fresh: Option<Fresh>,
}

impl Part {
    /// All live rows of `file`.
    pub(crate) fn whole(file: ScanFile) -> Self {
        Self {
            sign: Sign::Plus,
            file,
            deleted_by: None,
            stretch: None,
            only: None,
            fresh: None,
        }
    }

    /// All live rows of `file`, cut where it is much larger than `bytes`: into parts that are read side
    /// by side. What a deletion vector says of rows goes by their numbers in the whole file.
    pub(crate) fn cut(file: ScanFile, bytes: u64) -> Vec<Self> {
        let size = u64::try_from(file.size).unwrap_or_default();
        if size < 2 * bytes || file.dv_info.has_vector() {
            return vec![Self::whole(file)];
        }
        let begins = (0..size.div_ceil(bytes)).map(|place| place * bytes);
        let part = |begin| Self {
            stretch: Some(begin..size.min(begin + bytes)),
            ..Self::whole(file.clone())
        };
        begins.map(part).collect()
    }

    /// Bytes as stored.
    pub(crate) fn bytes(&self) -> u64 {
        let whole = u64::try_from(self.file.size).unwrap_or_default();
        let stretch = self.stretch.as_ref();
        stretch.map_or(whole, |stretch| stretch.end - stretch.start)
    }

    /// Rows before any filter, if the writer told; of a part of a file, its share of them.
    pub(crate) fn rows(&self) -> Option<u64> {
        let rows = self.file.stats.as_ref()?.num_records;
        let size = u128::try_from(self.file.size).unwrap_or_default().max(1);
        let before = |byte: u64| u64::try_from(u128::from(byte) * u128::from(rows) / size).ok();
        match &self.stretch {
            Some(stretch) => Some(before(stretch.end)? - before(stretch.start)?),
            None => Some(rows),
        }
    }

    /// Whether it can have rows at all.
    pub(crate) fn has_rows(&self) -> bool {
        self.deleted_by.as_ref().is_none_or(DvInfo::has_vector)
    }

    /// Which rows are wanted; where there are more rows than this has places, all of the rest are
    /// wanted, or none if there is a `deleted_by`.
    pub(crate) fn selection(
        &self,
        engine: &dyn Engine,
        root: &Url,
    ) -> DeltaResult<Option<Vec<bool>>> {
        let live = self.file.dv_info.get_selection_vector(engine, root)?;
        let Some(deleted_by) = &self.deleted_by else {
            return Ok(live);
        };
        let deleted = deleted_by.get_selection_vector(engine, root)?;
        let is_live = |row| live.as_ref().and_then(|live| live.get(row).copied());
        let wanted = deleted.unwrap_or_default().into_iter().enumerate();
        let wanted = wanted.map(|(row, stays)| !stays && is_live(row).unwrap_or(true));
        Ok(Some(wanted.collect()))
    }
}
