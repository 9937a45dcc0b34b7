//! Delta tables for tests, written by the real writer.
