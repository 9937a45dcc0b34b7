//! Catalogs: patterns that name source tables.

use crate::{
    field::Field,
    name::CatalogName,
    problem::{Fault, Report},
    raw::{Named, RawCatalog},
    secret::shown,
    source_location::{CatalogPattern, Catalogs},
};

pub(crate) fn check(raw: Field<Vec<Named<RawCatalog>>>, report: &mut Report) -> Catalogs {
    let mut catalogs = Catalogs {
        incomplete: matches!(raw, Field::Faulty),
        ..Catalogs::default()
    };
    for Named { name, value } in raw.given().map(|written| written.value).unwrap_or_default() {
        let place = name.place.clone();
        let pattern = value.and_then(|catalog| {
            let location = catalog.location.check_at(report, |text, place| {
                CatalogPattern::parse(&text, place.directory())
            });
            location.required(report, &place, || {
                let what = format!("catalog {} has no `location`", shown(&name.value));
                Fault::new(what, "add `location: /lake/{schema}/{table}`")
            })
        });
        match Field::Given(name).check(report, CatalogName::parse).given() {
            Some(name) => {
                catalogs
                    .known
                    .insert(name.value, pattern.map(|written| written.value));
            }
            None => catalogs.incomplete = true,
        }
    }
    catalogs
}
