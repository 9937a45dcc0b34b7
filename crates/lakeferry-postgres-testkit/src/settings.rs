//! What a server is started with: quick by default, durable for tests that crash it, and any
//! setting of Postgres on top.

use std::fmt::Write;

/// Settings of a new server.
#[derive(Clone, Debug)]
pub struct Settings {
    durable: bool,
    small_disk_megabytes: Option<u32>,
    extra: Vec<(String, String)>,
    files: Vec<(String, String)>,
}

impl Settings {
    /// Without fsync. A commit still survives the end of the server's processes, however abrupt,
    /// but not that of the machine.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            durable: false,
            small_disk_megabytes: None,
            extra: Vec::new(),
            files: Vec::new(),
        }
    }

    /// With fsync and full page writes, as in production: for tests that crash the server.
    #[must_use]
    pub fn durable() -> Self {
        Self {
            durable: true,
            small_disk_megabytes: None,
            extra: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Adds a setting of Postgres, such as `("wal_level", "logical")`; a later one wins.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the server a second disk of this size, see [`crate::Server::small_disk`]. It takes the
    /// right to mount, see [`crate::can_mount`].
    #[must_use]
    pub fn with_small_disk(mut self, megabytes: u32) -> Self {
        self.small_disk_megabytes = Some(megabytes);
        self
    }

    pub(crate) fn small_disk(&self) -> Option<u32> {
        self.small_disk_megabytes
    }

    /// Puts a file into the folder of the cluster before the server starts, readable by the server
    /// alone: `pg_hba.conf`, a certificate, a key. It must let the user `postgres` in from
    /// 127.0.0.1 as it is.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn files(&self) -> &[(String, String)] {
        &self.files
    }

    /// Whether the server is to speak TLS, which not every build can.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.extra.contains(&("ssl".to_owned(), "on".to_owned()))
    }

    /// The lines for the end of `postgresql.conf`.
    pub(crate) fn lines(&self, port: u16) -> String {
        let durable = if self.durable { "on" } else { "off" };
        let port = port.to_string();
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", ""),
            ("fsync", durable),
            ("full_page_writes", durable),
            ("synchronous_commit", "on"),
            ("max_connections", "100"),
            ("shared_buffers", "64MB"),
            ("max_wal_size", "1GB"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_line_prefix", "%m [%p] %q%a@%d "),
            ("logging_collector", "off"),
        ];
        let extra = self
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut lines = String::from("\n");
        for (name, value) in fixed.into_iter().chain(extra) {
            let _ = writeln!(lines, "{name} = {}", quote_literal(value));
        }
        lines
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::quick()
    }
}

/// A text as a literal, in SQL and in `postgresql.conf`.
pub(crate) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as an identifier of SQL.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_given_stands_after_the_fixed_ones() {
        let lines = Settings::durable()
            .with("fsync", "off")
            .with("a.b", "it's")
            .lines(5432);
        let fsync: Vec<_> = lines
            .lines()
            .filter(|line| line.starts_with("fsync"))
            .collect();
        assert_eq!(fsync, ["fsync = 'on'", "fsync = 'off'"]);
        assert!(lines.ends_with("a.b = 'it''s'\n"));
    }
}
