//! Looking for secrets where they must not be: one searcher for every mode.
//!
//! ```ignore
//! let mut secrets = Secrets::new();
//! secrets.add("the token", &token);
//! let lines = CommandLines::watch();
//! …
//! secrets.absent_from("the state", &terraform.state_file());
//! secrets.absent_from("a command line", &lines.seen());
//! ```
//!
//! A secret is looked for as it is, as what it encodes when it is base64, and as base64 of it at each of the three places it
//! can have in something longer, in both alphabets.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Shortest text that is looked for: a shorter one is found by chance.
const SHORTEST: usize = 12;

/// Most bytes of a secret that count: enough to be sure, and short of where a long text is folded.
const LONGEST: usize = 48;

/// Between two looks at the process list: short against the life of any program, and no wait for anything.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// What is looked for.
#[derive(Default)]
pub struct Secrets {
    /// A name for the error, and the text.
    forms: Vec<(String, String)>,
}

impl Secrets {
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for this one too. A PEM text is looked for by its lines.
    pub fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= SHORTEST, "{name} is too short to be looked for");
        let decoded = BASE64
            .decode(secret)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let lines = secret.lines().filter(|line| !line.starts_with("-----"));
        let all = lines
            .map(str::to_owned)
            .chain(decoded)
            .chain(secret.contains('\n').then(|| secret.to_owned()));
        for text in all.filter(|text| text.len() >= SHORTEST) {
            let start = &text.as_bytes()[..text.len().min(LONGEST)];
            if !text.contains('\n') {
                let plain = String::from_utf8_lossy(start).trim_end_matches('=').to_owned();
                self.forms.push((name.to_owned(), plain));
            }
            for at in 0..3 {
                let encoded = encoded_at(at, start);
                self.forms.push((
                    format!("{name}, in base64"),
                    encoded.replace('+', "-").replace('/', "_"),
                ));
                self.forms.push((format!("{name}, in base64"), encoded));
            }
        }
    }

    /// That none of them is in this text, which must not be empty: an empty one proves nothing.
    pub fn absent_from(&self, place: &str, text: &str) {
        assert!(!text.is_empty(), "{place} is empty");
        assert!(!self.forms.is_empty(), "nothing is looked for");
        for (name, form) in &self.forms {
            if let Some(at) = text.find(form.as_str()) {
                let start = (0..=at.saturating_sub(200))
                    .rev()
                    .find(|at| text.is_char_boundary(*at));
                panic!("{name} is in {place}, after: {}", &text[start.unwrap_or(0)..at]);
            }
        }
    }

    /// Whether any form of any of them is in this text: shows that the search finds what is there.
    pub fn present_in(&self, text: &str) -> bool {
        self.forms.iter().any(|(_, form)| text.contains(form.as_str()))
    }
}

/// The part of the base64 of something longer that depends on `text` alone, when `at` bytes (of three) stand before it.
fn encoded_at(at: usize, text: &[u8]) -> String {
    let mut whole = vec![0; at];
    whole.extend(text);
    let encoded = BASE64.encode(&whole);
    let first = (at * 8).div_ceil(6);
    let last = whole.len() * 8 / 6;
    encoded[first..last].to_owned()
}

/// Every command line of this machine, from now on.
pub struct CommandLines {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeSet<String>>,
}

impl CommandLines {
    pub fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !asked.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").expect("readable").flatten() {
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    if !line.is_empty() {
                        seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                    }
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
            seen
        });
        Self { stop, thread }
    }

    /// All that were seen, one a line.
    pub fn seen(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("it ends");
        seen.into_iter().collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let secret = "hunter2-hunter2-hunter2";
    let mut secrets = Secrets::new();
    secrets.add("the password", secret);
    let pem = "-----BEGIN KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIBAQQg\n-----END KEY-----\n";
    secrets.add("the key", pem);
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{secret} and more");
        for hidden in [
            text.clone(),
            BASE64.encode(&text),
            BASE64.encode(format!("{before}{pem}")),
        ] {
            assert!(secrets.present_in(&hidden), "{hidden}");
        }
    }
    assert!(secrets.present_in("a AwEHBG0wawIBAQQg z"));
    assert!(!secrets.present_in("hunter2, MIGH and nothing else of it"));
    let mut token = Secrets::new();
    token.add("the token", &BASE64.encode("00112233445566778899aabbccddeeff"));
    assert!(token.present_in("x 00112233445566778899aabbccddeeff"));
}
