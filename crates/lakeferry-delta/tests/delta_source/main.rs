//! Delta tables made by the real writer, read through the source.

mod contract;
mod feed;
mod figures;
mod filters;
mod logs;
mod reading;
mod refusals;
mod types;
mod world;
