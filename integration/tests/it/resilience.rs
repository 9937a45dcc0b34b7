//! Whatever happens to Postgres and to the connections to it, the run goes on or the next one
//! does, and the target is a version of its source at every moment.
//!
//! After each event the target has exactly the rows of the version that its progress names, and at
//! the end those of the newest. `LAKEFERRY_LONG=1` does more of everything that comes by chance;
//! `LAKEFERRY_SEED` replays what was chosen (the moments stay those of the machine).

mod commits;
mod connections;
mod disk;
mod foreign_keys;
mod locks;
mod restarts;
mod roles;
mod standbys;
