//! The password file of libpq: `host:port:database:user:password`, a line each
//! (<https://www.postgresql.org/docs/current/libpq-pgpass.html>). It is read at each connect.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// What a line is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// As it is called in the settings, or its address.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Directories of sockets that libpq calls `localhost` here.
const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The password for `entry`, if the file is there and has one. As in libpq, a file that others can
/// read is left aside with a warning.
pub(super) fn look_up(path: &Path, entry: Entry<'_>) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let shown = path.display();
    if !metadata.is_file() {
        tracing::warn!("the password file {shown} is not used: it is no plain file");
        return None;
    }
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(
            "the password file {shown} is not used: others can read it; chmod 0600 {shown}"
        );
        return None;
    }
    match fs::read(path) {
        Ok(bytes) => find(&String::from_utf8_lossy(&bytes), entry),
        Err(error) => {
            tracing::warn!("the password file {shown} is not used: {error}");
            None
        }
    }
}

/// The password of the first line that fits.
fn find(text: &str, entry: Entry<'_>) -> Option<String> {
    let host = match entry.host {
        socket if DEFAULT_SOCKETS.contains(&socket) => "localhost",
        host => host,
    };
    let port = entry.port.to_string();
    let wanted = [host, &port, entry.database, entry.user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut rest = line;
            for wanted in wanted {
                let (field, after) = cut_field(rest)?;
                let is_any = rest.starts_with("*:");
                if !is_any && field != wanted {
                    return None;
                }
                rest = after;
            }
            Some(cut_field(rest).map_or_else(|| unescaped(rest), |(password, _)| password))
        })
        .find(|password| !password.is_empty())
}

/// What is before the next `:` that is not escaped, and what after it.
fn cut_field(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            ':' if !escaped => return Some((unescaped(&text[..index]), &text[index + 1..])),
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        plain.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ENTRY: Entry<'_> = Entry {
        host: "db",
        port: 5432,
        database: "app",
        user: "me",
    };

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        for (text, password) in [
            ("", None),
            ("db:5432:app:me:pw\n", Some("pw")),
            ("other:5432:app:me:no\ndb:5432:app:me:pw\r\n", Some("pw")),
            ("*:*:*:me:first\ndb:5432:app:me:pw\n", Some("first")),
            ("# db:5432:app:me:no\n#*:*:*:*:no", None),
            ("db:5432:app:me:a\\:b\\\\c", Some("a:b\\c")),
            ("db:5432:app:me:pw:and what follows", Some("pw")),
            ("db:5432:app\n\ndb:*:app:me:pw", Some("pw")),
            ("db:5433:app:me:no\ndb:5432:app:you:no", None),
            ("\\*:5432:app:me:no", None),
            ("db:5432:app:me:", None),
        ] {
            assert_eq!(find(text, ENTRY).as_deref(), password, "{text:?}");
        }
    }

    #[test]
    fn names_may_hold_what_separates_them() {
        let host = Entry {
            host: "::1",
            ..ENTRY
        };
        assert_eq!(find(r"\:\:1:5432:app:me:pw", host).as_deref(), Some("pw"));
        let socket = Entry {
            host: "/tmp",
            ..ENTRY
        };
        assert_eq!(find("localhost:*:*:*:pw", socket).as_deref(), Some("pw"));
        let socket = Entry {
            host: "/run/pg",
            ..ENTRY
        };
        assert_eq!(
            find("localhost:*:*:*:pw\n/run/pg:*:*:*:own", socket).as_deref(),
            Some("own")
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_left_aside() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "*:*:*:*:pw").unwrap();
        for (mode, password) in [
            (0o600, Some("pw")),
            (0o640, None),
            (0o604, None),
            (0o400, Some("pw")),
        ] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(look_up(file.path(), ENTRY).as_deref(), password, "{mode:o}");
        }
        assert_eq!(look_up(Path::new("/nowhere/pass"), ENTRY), None);
        assert_eq!(look_up(Path::new("/tmp"), ENTRY), None);
    }
}
