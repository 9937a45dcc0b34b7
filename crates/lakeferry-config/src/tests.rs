//! Whole files: right ones mean what they say, wrong ones are told all that is wrong with them,
//! and no text at all makes the reader panic.

mod any_text;
mod many_files;
mod patterns;
mod right_files;
mod shown;
mod wrong_files;

use std::{collections::BTreeMap, path::Path};

use crate::{Config, Problems, Tables, load};

/// The files in `config/` that the documentation points to.
const MINIMAL: &str = include_str!("../../../config/minimal.yaml");
const REFERENCE: &str = include_str!("../../../config/reference.yaml");
const PRODUCTION: &str = include_str!("../../../config/production.yaml");

/// Loads `text` as a file of its own, in an environment with one password.
fn load_text(text: &str) -> Result<Config, Problems> {
    let env = [("FERRY_PASSWORD", "hunter2"), ("EMPTY", "")];
    let env: BTreeMap<_, _> = env.map(|(name, value)| (name.into(), value.into())).into();
    let origin = Path::new("/etc/ferry/lakeferry.yaml");
    load(text, origin, &env, Tables::Unknown).map(|loaded| loaded.config)
}
