//! Passwords that a command prints: a vault's client, a cloud's token.
//!
//! The command runs at each connect, with a time limit. What it prints is shown nowhere, to
//! stderr or to stdout: either may hold the password.

use std::{
    fmt, io,
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Error, Secret};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// More than this is no password, in bytes.
const LONGEST_BYTES: u64 = 64 * 1024;

/// A program with its arguments, or a line for the shell.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordCommand {
    Program(Vec<String>),
    Shell(String),
}

/// Only what is run, never its arguments: one of them may be a secret.
impl fmt::Display for PasswordCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = match self {
            Self::Program(words) => words.first().map_or("", String::as_str),
            Self::Shell(line) => line.split_whitespace().next().unwrap_or(""),
        };
        // `NAME=value program` in a shell's line.
        f.write_str(program.split('=').next().unwrap_or(""))
    }
}

impl fmt::Debug for PasswordCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordCommand({self})")
    }
}

impl PasswordCommand {
    /// Runs it and waits for its end; the line end at the end of what it prints does not belong to
    /// the password.
    ///
    /// # Errors
    /// [`Error::Command`] if it does not start, fails, takes too long, or prints no password.
    pub(super) fn run(&self) -> Result<Secret, Error> {
        self.run_within(LIMIT)
    }

    fn run_within(&self, limit: Duration) -> Result<Secret, Error> {
        let mut child = self.command().spawn().map_err(|error| Error::Command {
            command: self.to_string(),
            why: format!("it does not start: {error}"),
            has_run: false,
        })?;
        let Some(stdout) = child.stdout.take() else {
            return Err(self.error("it has no output"));
        };
        let (sender, receiver) = mpsc::channel();
        // It ends with the command; one that outlives its limit is told to end.
        thread::spawn(move || {
            let mut printed = Vec::new();
            let result = stdout.take(LONGEST_BYTES + 1).read_to_end(&mut printed);
            let _ = sender.send(result.map(|_| printed));
        });
        let printed = receiver.recv_timeout(limit);
        let Ok(printed) = printed else {
            end(&mut child);
            let limit = limit.as_secs();
            return Err(self.error(format!("it did not end within {limit} seconds")));
        };
        let printed = printed.and_then(|printed| Ok((printed, finish(&mut child)?)));
        let (printed, status) = printed.map_err(|error| self.error(error.to_string()))?;
        if printed.len() as u64 > LONGEST_BYTES {
            return Err(self.error("it printed too much for a password"));
        }
        self.check(status)?;
        self.password(printed)
    }

    fn command(&self) -> Command {
        let mut command = match self {
            Self::Program(words) => {
                let mut command = Command::new(words.first().map_or("", String::as_str));
                command.args(words.iter().skip(1));
                command
            }
            Self::Shell(line) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", line]);
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // So that all of it can be ended.
            .process_group(0);
        command
    }

    fn check(&self, status: ExitStatus) -> Result<(), Error> {
        if status.success() {
            return Ok(());
        }
        Err(self.error(match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}"),
            (None, None) => "it failed".to_owned(),
        }))
    }

    fn password(&self, mut printed: Vec<u8>) -> Result<Secret, Error> {
        if printed.last() == Some(&b'\n') {
            printed.pop();
        }
        if printed.last() == Some(&b'\r') {
            printed.pop();
        }
        match String::from_utf8(printed) {
            Ok(text) if text.is_empty() => Err(self.error("it printed nothing")),
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(self.error("what it printed is not UTF-8")),
        }
    }

    fn error(&self, why: impl Into<String>) -> Error {
        Error::Command {
            command: self.to_string(),
            why: why.into(),
            has_run: true,
        }
    }
}

/// Waits for a command that closed its output. One that closes it and goes on is ended.
fn finish(child: &mut Child) -> io::Result<ExitStatus> {
    const LOOKS: u32 = 100;
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    end(child);
    Err(io::Error::other("it closed its output and did not end"))
}

fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = pid {
        // Of a command that has just ended there may be nobody left.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> PasswordCommand {
        PasswordCommand::Shell(line.to_owned())
    }

    #[test]
    fn a_command_prints_the_password_without_its_line_end() {
        for (command, expected) in [
            (shell("echo 'a b'"), "a b"),
            (shell("printf ' x '"), " x "),
            (shell("echo noise >&2; echo a"), "a"),
            (
                PasswordCommand::Program(vec!["echo".into(), "$HOME".into()]),
                "$HOME",
            ),
        ] {
            assert_eq!(command.run().unwrap().expose(), expected);
        }
    }

    #[test]
    fn a_command_that_fails_says_how_and_shows_nothing_of_it() {
        for (command, why) in [
            (
                shell("echo hunter2; echo hunter2 >&2; exit 3"),
                "exit code 3",
            ),
            (shell("kill -9 $$; echo hunter2"), "signal 9"),
            (shell("true hunter2"), "printed nothing"),
            (shell("printf '\\377'"), "not UTF-8"),
            (shell("yes hunter2 | head -c 100000"), "too much"),
            (
                PasswordCommand::Program(vec!["/nowhere/vault".into()]),
                "does not start",
            ),
        ] {
            let text = format!("{} {command:?}", command.run().unwrap_err());
            assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_command_that_does_not_end_is_ended_with_all_that_it_started() {
        let command = shell("sleep 1000 | sleep 1000");
        let error = command.run_within(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }
}
