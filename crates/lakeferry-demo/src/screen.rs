//! What is seen: a view that is drawn anew in place on a terminal, plain lines elsewhere.
//!
//! Nobody may be there to read: a terminal that was closed ends nothing by its absence.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    arguments::Format,
    interrupt::INTERRUPTED,
    play::{Ended, Summary},
    tally::{Tally, grouped, rate},
};

#[derive(Debug)]
pub(crate) struct Screen {
    format: Format,
    is_terminal: bool,
    is_coloured: bool,
}

/// The view of the commits as they arrive: a frame over the last one, or a line more.
#[derive(Debug)]
pub(crate) struct Live {
    is_frame: bool,
    /// How many lines the last frame had.
    drawn: usize,
    on_stderr: bool,
}

impl Screen {
    pub(crate) fn new(format: Format) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_terminal =
            stdout().is_terminal() && stderr().is_terminal() && !is_dumb && format == Format::Text;
        Self {
            format,
            is_terminal,
            is_coloured: is_terminal && !is_set("NO_COLOR"),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A new act.
    pub(crate) fn heading(&self, text: &str) {
        if self.is_coloured {
            self.line(&format!("\x1b[1;36m──\x1b[0m \x1b[1m{text}\x1b[0m"));
        } else {
            self.line(&format!("── {text}"));
        }
    }

    pub(crate) fn line(&self, text: &str) {
        line(text, self.is_json());
    }

    /// How many of `rows` are done; hidden where there is no terminal.
    pub(crate) fn progress(&self, rows: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(rows), self.draw_target());
        let bar = bar.with_style(style("   {bar:30} {human_pos} of about {human_len} rows"));
        bar.tick();
        bar
    }

    /// The view of the commits.
    pub(crate) fn live(&self) -> Live {
        Live {
            is_frame: self.is_terminal,
            drawn: 0,
            on_stderr: self.is_json(),
        }
    }

    /// Prints how it ended.
    pub(crate) fn ended(&self, ended: &Ended) -> ExitCode {
        let (summary, code) = match ended {
            Ended::Whole(summary) => (Some(summary), 0),
            Ended::Written => (None, 0),
            Ended::Interrupted => (None, INTERRUPTED),
        };
        if self.is_json() {
            envelope(code == 0, &json!(summary), &Value::Null);
        } else if let Some(summary) = summary {
            self.sum_up(summary);
        }
        ExitCode::from(code)
    }

    /// Prints why it failed.
    pub(crate) fn failed(&self, error: &Error) -> ExitCode {
        if self.is_json() {
            let reason = format!("{error:#}");
            envelope(false, &Value::Null, &json!({ "reason": reason }));
        } else {
            let _ = writeln!(stderr(), "error: {error:#}");
        }
        ExitCode::FAILURE
    }

    fn sum_up(&self, summary: &Summary) {
        let Summary {
            rows,
            filled_rows,
            fill_seconds,
            live_seconds,
            commits,
            inserted,
            updated,
            deleted,
            lag_p50_ms,
            lag_p99_ms,
        } = summary;
        let took = Duration::from_secs_f64(*fill_seconds);
        self.line(&format!(
            "   filled {} rows in {fill_seconds:.1} s: {} rows a second",
            grouped(*filled_rows),
            grouped(rate(*filled_rows, took)),
        ));
        self.line(&format!(
            "   {} commits in {live_seconds:.0} s: {} rows inserted, {} updated, {} deleted",
            grouped(*commits),
            grouped(*inserted),
            grouped(*updated),
            grouped(*deleted),
        ));
        self.line(&format!(
            "   commit → visible to another session: p50 {lag_p50_ms} ms, p99 {lag_p99_ms} ms"
        ));
        self.line(&format!(
            "   {} rows were in Postgres at the end, as many as in the Delta table",
            grouped(*rows)
        ));
    }

    fn draw_target(&self) -> ProgressDrawTarget {
        if self.is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        }
    }
}

impl Live {
    /// Shows a commit that has arrived, by its `text`, and where that leaves us.
    pub(crate) fn show(&mut self, text: &str, tally: &Tally, elapsed: Duration) {
        if self.is_frame {
            let view = tally.view(elapsed);
            let frame = frame(&view, self.drawn);
            self.drawn = view.lines().count();
            let _ = stdout().write_all(frame.as_bytes());
            let _ = stdout().flush();
        } else {
            let rows = grouped(tally.rows);
            let text = format!("   {text}; {rows} rows in Postgres");
            line(&text, self.on_stderr);
        }
    }
}

impl Drop for Live {
    /// The last frame stays, a `^C` below it does not.
    fn drop(&mut self) {
        if self.is_frame {
            let _ = stdout().write_all(b"\r\x1b[J");
        }
    }
}

/// What draws `view` over the `drawn` lines above the cursor, in one write so that nothing flickers.
/// Lines are cut at the edge of the terminal. The cursor ends below, where a `^C` does no harm.
fn frame(view: &str, drawn: usize) -> String {
    let mut frame = "\r".to_owned();
    if drawn > 0 {
        frame.push_str(&format!("\x1b[{drawn}A"));
    }
    frame.push_str("\x1b[?7l");
    for line in view.lines() {
        frame.push_str(&format!("{line}\x1b[K\n"));
    }
    frame.push_str("\x1b[?7h\x1b[J");
    frame
}

fn line(text: &str, on_stderr: bool) {
    let _ = if on_stderr {
        writeln!(stderr(), "{text}")
    } else {
        writeln!(stdout(), "{text}")
    };
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn envelope(ok: bool, result: &Value, error: &Value) {
    let envelope = json!({ "command": "demo", "ok": ok, "result": result, "error": error });
    let _ = writeln!(stdout(), "{envelope}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_goes_over_the_last_one() {
        let lines = "\x1b[?7lone\x1b[K\ntwo\x1b[K\n\x1b[?7h\x1b[J";
        assert_eq!(frame("one\ntwo", 0), format!("\r{lines}"));
        assert_eq!(frame("one\ntwo", 3), format!("\r\x1b[3A{lines}"));
    }
}
