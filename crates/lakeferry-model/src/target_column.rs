//! The columns of a target: what they were made from, and how they are brought in step with those
//! of the source.

use arrow_schema::FieldRef;

/// A column of a target, with what it was made from; or one that is left out of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetColumn {
    /// What the target calls it; one that is left out, what its source calls it.
    pub name: String,
    /// What stays of it in the source for its life.
    pub identity: String,
    /// Its type in the source, as far as values depend on it.
    pub of: String,
    pub role: ColumnRole,
}

/// What a column is to its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnRole {
    /// It has the values of its source.
    Synced,
    /// The source has it, or had it, and the target does not.
    LeftOut,
    /// The target has it, the source does not any more.
    Detached,
    /// The target writes it by itself: [`crate::OwnColumns`].
    Own,
}

/// One step that brings the columns of a target in step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Alteration {
    /// The column is no longer written: it takes NULL, and keeps the values that it has.
    Detach(String),
    /// The column becomes NULL in all rows.
    Clear(String),
    /// The column goes, with its values.
    Drop(String),
    Rename {
        from: String,
        to: String,
    },
    /// The column takes the values of this field, whose type holds all that it has.
    Widen(FieldRef),
    /// A column that is NULL in all rows.
    Add(FieldRef),
}
