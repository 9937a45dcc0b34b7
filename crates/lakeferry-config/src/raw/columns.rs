//! Which columns a job has and what they are called, as it is written: a list, or a mapping.

use crate::{
    field::{Field, Written},
    problem::Report,
    section::Section,
};

/// A list is an `include`.
#[derive(Debug, Default)]
pub(crate) struct RawColumns {
    pub(crate) include: Field<Vec<Written<String>>>,
    pub(crate) exclude: Field<Vec<Written<String>>>,
    pub(crate) rename: Field<Vec<(Written<String>, Written<String>)>>,
}

pub(super) const COLUMNS: [&str; 3] = ["include", "exclude", "rename"];

impl RawColumns {
    /// `columns` of `options`.
    pub(super) fn read(options: &mut Section, report: &mut Report) -> Field<Self> {
        if !options.is_mapping("columns") {
            return match options.texts("columns", report) {
                Field::Absent => Field::Absent,
                Field::Faulty => Field::Faulty,
                Field::Given(list) => Field::Given(Written {
                    place: list.place.clone(),
                    value: Self {
                        include: Field::Given(list),
                        ..Self::default()
                    },
                }),
            };
        }
        let Some(mut columns) = options.section("columns", report) else {
            return Field::Faulty;
        };
        let value = Self {
            include: columns.texts("include", report),
            exclude: columns.texts("exclude", report),
            rename: columns.pairs("rename", report),
        };
        let place = columns.place().clone();
        columns.close(&COLUMNS, report);
        Field::Given(Written { value, place })
    }
}
