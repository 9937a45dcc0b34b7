//! Secrets never show: not in logs, not in errors, not in debug output.

mod command;

use std::{fmt, fs, path::PathBuf};

pub use self::command::PasswordCommand;
use crate::Error;

/// The longest piece of a wrong value that a message repeats, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// A text that neither `Debug` nor `Display` print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// From the environment, which does not change while a process lives.
    Given(Secret),
    /// From a file, which may: it is read at each connect.
    File(PathBuf),
    /// From a command, which is run at each connect.
    Command(PasswordCommand),
}

impl Password {
    /// The password as it is now; a line end at the end of a file does not belong to it. Blocks
    /// for as long as a command may take.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the file cannot be read as text, [`Error::Command`] if the command
    /// gives none.
    pub fn read(&self) -> Result<Secret, Error> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::Command(command) => command.run(),
            Self::File(path) => {
                let text = fs::read_to_string(path).map_err(|source| Error::Unreadable {
                    what: "password file",
                    path: path.clone(),
                    source,
                })?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
            }
        }
    }
}

/// A value of the file as a message may repeat it: quoted, on one line, of bounded length, and not
/// at all if it might hold a password.
pub(crate) fn shown(text: &str) -> String {
    let credentials = text.contains("://") && text.contains('@');
    if credentials || text.to_lowercase().contains("password") {
        return "`***`".into();
    }
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARACTERS)
        .flat_map(char::escape_debug)
        .collect();
    // Only control characters are escaped for the reader's sake; quotes stay as they were written.
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().count() > SHOWN_CHARACTERS {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::{Password, Secret, shown};

    #[test]
    fn a_secret_shows_in_no_format() {
        let secret = Secret::new("hunter2");
        let text = format!("{secret} {secret:?} {:?}", Password::Given(secret.clone()));
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_password_file_is_read_anew_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let password = Password::File(file.path().to_owned());
        for (text, expected) in [
            ("a b\n", "a b"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("", ""),
            (" x ", " x "),
        ] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(password.read().unwrap().expose(), expected);
        }
    }

    #[test]
    fn an_unreadable_password_file_is_named() {
        let error = Password::File("/nowhere/secret".into()).read().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the password file /nowhere/secret"
        );
    }

    #[test]
    fn messages_repeat_values_shortly_and_without_credentials() {
        assert_eq!(shown("a\tb\"'"), "`a\\tb\"'`");
        assert_eq!(shown(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
        assert_eq!(shown("postgresql://me:pw@db/app"), "`***`");
        assert_eq!(shown("host=db password=pw"), "`***`");
    }
}
