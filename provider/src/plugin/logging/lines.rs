//! One JSON object a line, as hosts of go-plugin read it.
//!
//! `@message`, `@level` and `@timestamp` must be strings, the last with exactly six fractional digits: a line that
//! has them otherwise is taken as plain text, or worse, stops the host. All other keys are fields; we write them as
//! strings too, since the host prints them and nothing else. A line has a bounded size, because the host reads
//! lines through a buffer and takes what does not fit for lines of its own.

use std::{fmt, io::Write};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, Scope, SpanRef},
};

/// Bytes of one value.
const MAX_VALUE: usize = 8 << 10;
/// Bytes of one line. The host's buffer has 64 KiB.
const MAX_LINE: usize = 60 << 10;

/// The layer that writes the lines.
pub(super) struct Lines<W> {
    writer: W,
}

impl<W> Lines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// The fields of a span, kept until an event needs them.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let spans = context.event_scope(event).into_iter().flat_map(Scope::from_root);
        let line = compose(event, own, spans);
        // The host closes our stderr only when it goes; there is nobody to tell.
        let _ = self.writer.make_writer().write_all(&line);
    }
}

fn compose<'a, S>(event: &Event<'_>, mut own: Fields, spans: impl Iterator<Item = SpanRef<'a, S>>) -> Vec<u8>
where
    S: LookupSpan<'a> + 'a,
{
    let message = own
        .0
        .shift_remove("message")
        .unwrap_or_else(|| Value::String(String::new()));
    let metadata = event.metadata();
    let mut line = Map::new();
    line.insert("@level".to_owned(), level(*metadata.level()).into());
    line.insert("@message".to_owned(), message);
    line.insert("@module".to_owned(), metadata.target().replace("::", ".").into());
    line.insert(
        "@timestamp".to_owned(),
        format!("{:.6}", jiff::Timestamp::now()).into(),
    );
    let standard = line.clone();
    for span in spans {
        if let Some(fields) = span.extensions().get::<Fields>() {
            line.extend(fields.0.clone());
        }
    }
    line.extend(own.0);

    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    if text.len() > MAX_LINE {
        let mut line = standard;
        line.insert("left_out".to_owned(), "the fields: the line was too long".into());
        text = serde_json::to_vec(&line).unwrap_or_default();
    }
    text.push(b'\n');
    text
}

fn level(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

impl Fields {
    fn insert(&mut self, field: &Field, mut value: String) {
        if value.len() > MAX_VALUE {
            value.truncate(value.floor_char_boundary(MAX_VALUE));
            value.push('…');
        }
        // A leading `@` is the host's.
        let name = field.name().trim_start_matches('@');
        self.0.insert(name.to_owned(), Value::String(value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `say` makes.
    fn lines(say: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = Registry::default().with(Lines::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, say);
        let bytes = buffer.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes)
            .expect("UTF-8")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn object(line: &str) -> Map<String, Value> {
        serde_json::from_str(line).expect("an object")
    }

    #[test]
    fn a_line_has_what_the_host_asserts_on() {
        let lines = lines(
            || tracing::warn!(target: "a::b", count = 3, ok = true, error = %"no \"luck\"\n", "say {}", 1),
        );
        assert_eq!(lines.len(), 1);
        let line = object(&lines[0]);
        assert!(line.values().all(Value::is_string), "{line:?}");
        assert_eq!(line["@level"], "warn");
        assert_eq!(line["@message"], "say 1");
        assert_eq!(line["@module"], "a.b");
        assert_eq!((&line["count"], &line["ok"]), (&"3".into(), &"true".into()));
        assert_eq!(line["error"], "no \"luck\"\n");

        let time = line["@timestamp"].as_str().expect("a string");
        let pattern = "dddd-dd-ddTdd:dd:dd.ddddddZ";
        assert_eq!(time.len(), pattern.len(), "{time}");
        for (have, want) in time.chars().zip(pattern.chars()) {
            assert!(
                if want == 'd' {
                    have.is_ascii_digit()
                } else {
                    have == want
                },
                "{time}"
            );
        }
    }

    #[test]
    fn fields_of_spans_are_on_every_line_within_and_the_nearest_wins() {
        let lines = lines(|| {
            let outer = tracing::info_span!(
                "outer",
                rpc = "Plan",
                resource = "a",
                late = tracing::field::Empty
            );
            outer.record("late", "known");
            let _outer = outer.enter();
            tracing::info_span!("inner", resource = "b").in_scope(|| tracing::info!(rpc = "own", "within"));
            tracing::info!("after");
        });
        let within = object(&lines[0]);
        assert_eq!(
            (&within["rpc"], &within["resource"]),
            (&"own".into(), &"b".into())
        );
        let after = object(&lines[1]);
        assert_eq!(
            (&after["rpc"], &after["resource"], &after["late"]),
            (&"Plan".into(), &"a".into(), &"known".into())
        );
    }

    #[test]
    fn an_event_cannot_forge_the_fields_of_the_host() {
        let line = object(&lines(|| tracing::info!("@level" = 7, "@timestamp" = 1, "real"))[0]);
        assert_eq!(
            (&line["@level"], &line["@message"]),
            (&"info".into(), &"real".into())
        );
        assert!(line["@timestamp"].as_str().expect("a string").ends_with('Z'));
        assert_eq!(line["level"], "7");
    }

    #[test]
    fn no_line_is_longer_than_the_host_reads() {
        let nasty = "\u{1}".repeat(MAX_VALUE * 2); // Each becomes six bytes.
        let lines = lines(|| {
            tracing::info!(a = nasty, b = nasty, "long");
            tracing::info!("{nasty}");
        });
        assert_eq!(lines.len(), 2);
        for line in &lines {
            assert!(line.len() <= MAX_LINE, "{}", line.len());
        }
        assert_eq!(object(&lines[0])["left_out"], "the fields: the line was too long");
        assert!(
            object(&lines[1])["@message"]
                .as_str()
                .expect("a string")
                .ends_with('…')
        );
    }
}
