//! Placeholder.
use lakeferry_delta as _;
