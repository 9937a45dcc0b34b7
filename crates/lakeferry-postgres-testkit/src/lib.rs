//! Throwaway Postgres servers for tests.
