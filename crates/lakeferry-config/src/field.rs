//! One setting of a file: absent, faulty (and reported), or given.
//!
//! The three are told apart so that one mistake makes one problem: a value of the wrong type is
//! not also reported as missing.

use crate::problem::{Fault, Place, Report};

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What a file says about one setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that cannot be used; the report says why.
    Faulty,
    /// A value.
    Given(Written<T>),
}

impl<T> Field<T> {
    /// The value after `check`, whose fault is reported where the value stands.
    pub(crate) fn check<U>(
        self,
        report: &mut Report,
        check: impl FnOnce(T) -> Result<U, Fault>,
    ) -> Field<U> {
        self.check_at(report, |value, _| check(value))
    }

    /// As [`Field::check`], for what means something else in another file.
    pub(crate) fn check_at<U>(
        self,
        report: &mut Report,
        check: impl FnOnce(T, &Place) -> Result<U, Fault>,
    ) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Faulty => Field::Faulty,
            Self::Given(Written { value, place }) => match check(value, &place) {
                Ok(value) => Field::Given(Written { value, place }),
                Err(fault) => {
                    report.add(&place, fault);
                    Field::Faulty
                }
            },
        }
    }

    /// This, or `fallback` where the file says nothing.
    pub(crate) fn or(self, fallback: &Self) -> Self
    where
        T: Clone,
    {
        if matches!(self, Self::Absent) {
            fallback.clone()
        } else {
            self
        }
    }

    /// The value; if it is absent, `missing` is reported at `owner`.
    pub(crate) fn required(
        self,
        report: &mut Report,
        owner: &Place,
        missing: impl FnOnce() -> Fault,
    ) -> Option<Written<T>> {
        if matches!(self, Self::Absent) {
            report.add(owner, missing());
        }
        self.given()
    }

    /// The value if it is given, `default` if absent, nothing if faulty.
    pub(crate) fn or_default(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Faulty => None,
            Self::Given(written) => Some(written.value),
        }
    }

    /// The value or its absence; nothing if it is faulty.
    pub(crate) fn optional(self) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Faulty => None,
            Self::Given(written) => Some(Some(written.value)),
        }
    }

    /// The value if it is given, or else nothing.
    pub(crate) fn given(self) -> Option<Written<T>> {
        match self {
            Self::Given(written) => Some(written),
            Self::Absent | Self::Faulty => None,
        }
    }
}
