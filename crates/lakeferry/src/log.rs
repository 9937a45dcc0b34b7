//! What is said while it works: to stderr, a line each, which names the job and its run.

use std::{
    fmt,
    io::{Write as _, stderr},
};

use lakeferry_model::Clock as _;
use serde_json::{Map, Value};
use tracing::{
    Event, Span, Subscriber, error_span,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{
    arguments::{Arguments, Format},
    system_clock::SystemClock,
};

/// Says what `LAKEFERRY_LOG` asks for, or what fits the command, from now on.
pub(crate) fn init(arguments: &Arguments) {
    let filter = EnvFilter::try_from_env("LAKEFERRY_LOG");
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(arguments.command.log_filter()));
    let lines = tracing_subscriber::registry().with(filter);
    match arguments.log_format {
        Format::Json => lines.with(Json).init(),
        Format::Text => {
            let text = tracing_subscriber::fmt::layer();
            lines.with(text.with_writer(stderr).with_ansi(false)).init();
        }
    }
}

/// All that is said while it is entered is of this run: the `run`th of `job` in this process.
pub(crate) fn of_run(job: &str, run: u64) -> Span {
    // Its level is that of the least that may be said in it: who hears only of errors hears whose.
    error_span!("job", job, run)
}

/// An object a line: `timestamp`, `level`, `module`, `message`, the fields of the spans around it, `job` and
/// `run` among them, and its own.
struct Json;

/// The fields of a span or an event.
#[derive(Clone, Default)]
struct Fields(Map<String, Value>);

impl<S> Layer<S> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        let metadata = event.metadata();
        for (name, text) in [
            ("timestamp", now()),
            ("level", metadata.level().to_string()),
            ("module", metadata.target().to_owned()),
        ] {
            line.0.insert(name.to_owned(), text.into());
        }
        // Before the fields, which are as many as there are.
        line.0.insert("message".to_owned(), Value::Null);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(fields)) = span.extensions().get() {
                // From within: what is said nearer counts.
                for (name, value) in fields {
                    line.0.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut line);
        // Nobody may be there to read it.
        let _ = writeln!(stderr(), "{}", Value::Object(line.0));
    }
}

/// In UTC, to the microsecond.
fn now() -> String {
    let now = chrono::DateTime::from_timestamp_micros(SystemClock.now().0).unwrap_or_default();
    now.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}
