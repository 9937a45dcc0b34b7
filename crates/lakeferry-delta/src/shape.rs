//! The shape of a job's rows at one version: what is read from the table, and how a batch of it
//! becomes rows of the job.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use datafusion::logical_expr::Expr;
use delta_kernel::{
    Predicate, Snapshot,
    schema::{DataType as KernelType, SchemaRef as KernelSchemaRef, StructField, StructType},
    table_features::ColumnMappingMode,
};

use lakeferry_model::{COLUMNS_MADE, FILTER_COLUMNS, Instant, Sign, source_name};

use crate::{
    columns,
    error::{Cause, Error, Result},
    filter::{self, At, Filter, Skipping},
    names, plain,
    source::Settings,
};

/// The property that has the number of the newest column (Delta protocol, "Column Mapping").
const MAX_COLUMN_ID: &str = "delta.columnMapping.maxColumnId";

/// What a job reads at one version, and what it gets.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    table: String,
    /// The job's columns, then the columns that only the filter reads, then what counts the rows.
    pub(crate) read: Vec<StructField>,
    layout: SchemaRef,
    /// The job's columns, as its target calls them.
    pub(crate) output: SchemaRef,
    filter: Option<Filter>,
    /// Where the rows are wanted that time moves: the filter at the instant before.
    before: Option<Filter>,
    /// Where only the rows of certain keys are wanted: what is TRUE for all of these.
    near: Option<Expr>,
    /// The filter's text in a canonical form.
    pub(crate) text: Option<String>,
    partitions: Vec<String>,
    pub(crate) mapping: ColumnMappingMode,
}

impl Shape {
    /// The shape of a job with `settings` at `snapshot`, its filter evaluated at `instant`.
    pub(crate) fn of(settings: &Settings, snapshot: &Snapshot, instant: Instant) -> Result<Self> {
        Self::bound(settings, snapshot, None, instant)
    }

    /// The shape of the rows that time moves between two instants, see [`Shape::signed`].
    pub(crate) fn moving(
        settings: &Settings,
        snapshot: &Snapshot,
        from: Instant,
        until: Instant,
    ) -> Result<Self> {
        Self::bound(settings, snapshot, Some(from), until)
    }

    fn bound(
        settings: &Settings,
        snapshot: &Snapshot,
        before: Option<Instant>,
        instant: Instant,
    ) -> Result<Self> {
        let table = settings.location.as_str();
        let schema = snapshot.schema();
        let mut read = columns::chosen(table, &schema, &settings.columns)?;
        let output = names::called(table, &schema, &read, &settings.columns)?;
        let parsed = settings
            .filter
            .as_deref()
            .map(|text| filter::parse(table, text, &schema))
            .transpose()?;
        for field in parsed.iter().flat_map(|parsed| &parsed.columns) {
            if !read.contains(field) {
                read.push(field.clone());
            }
        }
        let configuration = snapshot.table_configuration();
        let mapping = configuration.column_mapping_mode();
        let mut told = match &parsed {
            Some(parsed) => filter_columns(&output, &parsed.columns),
            None => HashMap::new(),
        };
        if mapping != ColumnMappingMode::None {
            let made = configuration.metadata().configuration().get(MAX_COLUMN_ID);
            // Where it is not told, any column may be an old one.
            let made = made.cloned().unwrap_or_else(|| u64::MAX.to_string());
            told.insert(COLUMNS_MADE.to_owned(), made);
        }
        let mut fields = output.fields().clone();
        if snapshot.table_properties().enable_type_widening == Some(true) {
            fields = fields.iter().map(columns::widening).collect();
        }
        let output = Arc::new(Schema::new_with_metadata(fields, told));
        let partitions = configuration.logical_partition_columns().to_vec();
        if read.iter().all(|field| partitions.contains(field.name())) {
            read.push(some_stored(table, &schema, &partitions)?);
        }
        let layout = columns::arrow_schema(table, &read)?;
        let zone = settings.timezone;
        let bind = |instant| {
            let bound = parsed
                .as_ref()
                .map(|parsed| parsed.bind(table, &layout, At { instant, zone }));
            bound.transpose()
        };
        let (filter, before) = (bind(instant)?, before.map(bind).transpose()?.flatten());
        Ok(Self {
            table: table.to_owned(),
            read,
            layout,
            output,
            filter,
            before,
            near: None,
            text: parsed.map(|parsed| parsed.text()),
            partitions,
            mapping,
        })
    }

    /// The same without rows that have none of `keys`, as far as they need not be read for others.
    pub(crate) fn near(mut self, keys: &RecordBatch) -> Self {
        let columns = keys.schema();
        let name = |name: &String| {
            let place = self.output.index_of(name).ok()?;
            Some(self.read[place].name().as_str())
        };
        let names: Option<Vec<&str>> = columns.fields().iter().map(|of| name(of.name())).collect();
        let near = names.and_then(|names| filter::near(keys, &names));
        self.near = near.map(|near| match &self.filter {
            Some(filter) => filter.and(near),
            None => near,
        });
        self
    }

    /// What is read, as the kernel is asked for it.
    pub(crate) fn read_schema(&self) -> Result<KernelSchemaRef> {
        StructType::try_new(self.read.clone())
            .map(Arc::new)
            .map_err(|error| self.broken("its columns make no schema", Some(Box::new(error))))
    }

    /// What the kernel may use to skip files.
    pub(crate) fn skips_files(&self) -> Option<Predicate> {
        self.skipping()?.files(&self.partitions)
    }

    /// What the kernel may use to skip row groups of files without deletion vectors.
    pub(crate) fn skips_row_groups(&self) -> Option<Predicate> {
        self.skipping()?.row_groups(&self.partitions, self.mapping)
    }

    fn skipping(&self) -> Option<Skipping<'_>> {
        if let Some(near) = &self.near {
            return Some(Skipping::of(near, &self.read));
        }
        let filter = self.filter.as_ref()?;
        Some(match &self.before {
            None => filter.skipping(&self.read),
            Some(before) => before.skipping_until(filter, &self.read),
        })
    }

    /// Whether time moves any rows between the two instants of a moving shape, as far as can be
    /// told without them.
    pub(crate) fn may_move(&self) -> bool {
        let both = self.before.as_ref().zip(self.filter.as_ref());
        both.is_some_and(|(before, after)| !before.is(after))
    }

    /// The rows of `batch`, which has the columns that are read, for which the filter is TRUE, in
    /// the job's columns.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = self.laid_out(batch)?;
        match &self.filter {
            None => self.projected(&batch),
            Some(filter) => self.kept(&batch, &filter.keeps(&self.table, &batch)?),
        }
    }

    /// The rows of `batch` by sign: all with `sign`, or of a moving shape those that go and those
    /// that come.
    pub(crate) fn signed(
        &self,
        sign: Sign,
        batch: &RecordBatch,
    ) -> Result<Vec<(Sign, RecordBatch)>> {
        let Some((before, after)) = self.before.as_ref().zip(self.filter.as_ref()) else {
            return Ok(vec![(sign, self.rows(batch)?)]);
        };
        let batch = self.laid_out(batch)?;
        let is_true = |filter: &Filter| {
            let keeps = filter.keeps(&self.table, &batch)?;
            let values = keeps.values();
            let known = keeps.nulls();
            Ok(known.map_or_else(|| values.clone(), |known| values & known.inner()))
        };
        let (was, is) = (is_true(before)?, is_true(after)?);
        let signs = [(Sign::Minus, &was & &!&is), (Sign::Plus, &is & &!&was)];
        let signed = signs.into_iter().map(|(sign, moved)| {
            let moved = BooleanArray::new(moved, None);
            Ok((sign, self.kept(&batch, &moved)?))
        });
        signed.collect()
    }

    /// `batch` in the plain types that were promised.
    fn laid_out(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch
            .columns()
            .iter()
            .zip(self.layout.fields())
            .map(|(column, field)| self.plain(column, field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new_with_options(self.layout.clone(), columns, &options)
            .map_err(|error| self.broken("a batch has other columns", Some(Box::new(error))))
    }

    fn kept(&self, batch: &RecordBatch, which: &BooleanArray) -> Result<RecordBatch> {
        let kept = filter_record_batch(batch, which)
            .map_err(|error| self.broken("rows cannot be kept", Some(Box::new(error))))?;
        self.projected(&kept)
    }

    /// The job's columns of `batch`.
    fn projected(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns()[..self.output.fields().len()].to_vec();
        RecordBatch::try_new_with_options(self.output.clone(), columns, &options)
            .map_err(|error| self.broken("a batch has other columns", Some(Box::new(error))))
    }

    /// The same values in the plain type that was promised.
    fn plain(&self, column: &ArrayRef, promised: &DataType) -> Result<ArrayRef> {
        plain::of(column, promised).map_err(|error| {
            let found = column.data_type();
            let what = format!("a column came as {found} instead of {promised}");
            self.broken(&what, Some(Box::new(error)))
        })
    }

    fn broken(&self, what: &str, source: Option<Cause>) -> Error {
        Error::Broken {
            table: self.table.clone(),
            what: what.to_owned(),
            source,
        }
    }
}

/// A column that data files have: where nothing else of them is read, the kernel could not tell
/// how many rows there are.
fn some_stored(table: &str, schema: &StructType, partitions: &[String]) -> Result<StructField> {
    schema
        .fields()
        .filter(|field| !partitions.contains(field.name()))
        .filter(|field| columns::plain(table, field).is_ok())
        .min_by_key(|field| match field.data_type() {
            &KernelType::STRING | &KernelType::BINARY => 1,
            KernelType::Primitive(_) => 0,
            _ => 2,
        })
        .cloned()
        .ok_or_else(|| Error::Unfit {
            table: table.to_owned(),
            what: "partition columns cannot be synced alone".to_owned(),
            hint: "list a column of another kind in columns: as well".to_owned(),
            source: None,
        })
}

/// What the columns of the filter are that are not synced, or under other names: where one of them
/// changes so may its verdicts.
fn filter_columns(output: &Schema, of_filter: &[StructField]) -> HashMap<String, String> {
    let is_synced = |field: &&StructField| {
        let synced = output.field_with_name(field.name());
        synced.is_ok_and(|synced| source_name(synced) == field.name())
    };
    let others = of_filter.iter().filter(|field| !is_synced(field));
    let told = others.map(|field| {
        let physical = columns::physical_names(field).unwrap_or_else(|| field.name().clone());
        format!("{} {} {physical}", field.name(), field.data_type())
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let told = (!told.is_empty()).then(|| (FILTER_COLUMNS.to_owned(), told));
    told.into_iter().collect()
}
