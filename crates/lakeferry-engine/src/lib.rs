//! Decides what a job has to do and drives it.
