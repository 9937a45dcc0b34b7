//! Reads Delta tables: snapshots, changes, filters.
