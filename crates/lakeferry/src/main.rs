//! The lakeferry command.

fn main() {}
