//! Logs, in the form and at the level that the host can use.
//!
//! The host reads our stderr, mixes it into its own log and shows it when `TF_LOG` or one of its relatives is set.
//! When none is, it throws everything away, so nothing is even formatted. [`lines`] makes the lines.

mod lines;

use std::io::{self, IsTerminal};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::lines::Lines;

/// How much is said by code that is not ours, at most: an HTTP/2 library at TRACE drowns everything.
const FOREIGN_LEVEL: LevelFilter = LevelFilter::WARN;

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The host: JSON lines.
    Host,
    /// A person at a terminal: text, and INFO unless asked otherwise.
    Person,
}

/// Installs the log for the process. `targets` are the crates that count as ours; a second call does nothing.
pub(super) fn install(reader: Reader, provider: &str, targets: &[&str]) {
    let asked = asked_level(provider, |name| std::env::var(name).ok());
    let level = match (reader, asked) {
        (_, Some(level)) => level,
        (Reader::Host, None) => LevelFilter::OFF,
        (Reader::Person, None) => LevelFilter::INFO,
    };
    if level == LevelFilter::OFF {
        return;
    }
    let filter = filter(level, targets);
    let layer = match reader {
        Reader::Host => Lines::new(io::stderr).with_filter(filter).boxed(),
        Reader::Person => fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
    };
    // An embedding program may have a log of its own.
    let _ = Registry::default().with(layer).try_init();
}

fn filter(level: LevelFilter, targets: &[&str]) -> Targets {
    Targets::new()
        .with_default(level.min(FOREIGN_LEVEL))
        .with_targets(targets.iter().map(|target| (*target, level)))
}

/// The level that the environment asks for, the variable of this provider before the one of all providers before
/// the one of everything; none when no variable is set.
fn asked_level(provider: &str, lookup: impl Fn(&str) -> Option<String>) -> Option<LevelFilter> {
    let own = format!("TF_LOG_PROVIDER_{}", provider.to_uppercase().replace('-', "_"));
    [own.as_str(), "TF_LOG_PROVIDER", "TF_LOG"]
        .iter()
        .find_map(|name| lookup(name).filter(|value| !value.is_empty()))
        .map(|value| parse_level(&value))
}

/// The host takes a level it does not know, and `JSON`, as the wish for everything; so do we.
fn parse_level(value: &str) -> LevelFilter {
    match value.to_ascii_uppercase().as_str() {
        "OFF" => LevelFilter::OFF,
        "ERROR" => Level::ERROR.into(),
        "WARN" => Level::WARN.into(),
        "INFO" => Level::INFO.into(),
        "DEBUG" => Level::DEBUG.into(),
        _ => Level::TRACE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Option<LevelFilter> {
        asked_level("my-cloud", |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_most_special_variable_decides() {
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[("TF_LOG", "")]), None);
        assert_eq!(asked(&[("TF_LOG", "info")]), Some(LevelFilter::INFO));
        assert_eq!(
            asked(&[("TF_LOG", "INFO"), ("TF_LOG_PROVIDER", "WARN")]),
            Some(LevelFilter::WARN)
        );
        assert_eq!(
            asked(&[("TF_LOG_PROVIDER", "WARN"), ("TF_LOG_PROVIDER_MY_CLOUD", "OFF")]),
            Some(LevelFilter::OFF)
        );
    }

    #[test]
    fn unknown_levels_and_json_ask_for_everything() {
        assert_eq!(asked(&[("TF_LOG", "JSON")]), Some(LevelFilter::TRACE));
        assert_eq!(asked(&[("TF_LOG", "1")]), Some(LevelFilter::TRACE));
    }

    #[test]
    fn only_our_own_crates_speak_below_warning() {
        let filter = filter(LevelFilter::TRACE, &["ours"]);
        assert!(filter.would_enable("ours::part", &Level::TRACE));
        assert!(filter.would_enable("h2", &Level::WARN));
        assert!(!filter.would_enable("h2", &Level::INFO));
        assert!(!super::filter(LevelFilter::ERROR, &["ours"]).would_enable("h2", &Level::WARN));
    }
}
