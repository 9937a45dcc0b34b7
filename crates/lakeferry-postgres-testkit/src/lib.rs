//! Throwaway Postgres servers for tests: every test gets a real server of its own, on the loopback
//! interface only, and nothing of it is left when the test ends, panics or is killed.
//!
//! The interface blocks and needs no runtime, so synchronous and asynchronous tests use it alike.

mod account;
mod binaries;
mod pooler;
mod port;
mod server;
mod settings;
mod small_disk;
mod version;
mod watchdog;

pub use pooler::{PoolMode, Pooler};
pub use server::{Server, Stop};
pub use settings::Settings;
pub use small_disk::can_mount;
pub use version::{Version, servers, servers_with_tls};
