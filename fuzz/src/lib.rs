//! What must hold for any bytes at all, of everything that delegate-core reads from others.
//!
//! Each function takes arbitrary bytes and panics where a property does not hold. They are the bodies of the fuzz
//! targets, and the tests of delegate-core run them over the seeds beside this file and over what a random generator
//! makes of them. To fuzz one, with `cargo install cargo-fuzz` and a nightly compiler:
//!
//! ```text
//! cargo +nightly fuzz run mask fuzz/corpus/mask fuzz/seeds/mask
//! ```

use delegate_core::Secret;
use delegate_core::config::{DelegateConfig, DelegateToken, Env, parse_env_file, render_env_file};
use delegate_core::pipeline::Plan;
use delegate_core::pipeline::run::{Event, Run};
use delegate_core::process::mask::{MIN_SECRET_BYTES, Masker};
use delegate_core::protocol::runner::{Payload, RunnerEvents};
use delegate_core::protocol::stream::wire::{FromDelegate, FromManager};
use delegate_core::protocol::token;
use delegate_core::protocol::wire::{
    DelegateParams, Envelope, LogLine, Registered, Task, TaskEvents, TaskResponse,
};
use delegate_core::task::Registry;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

// Not public, for nobody outside has to split lines; it stands alone.
#[allow(dead_code, unreachable_pub, missing_docs)]
#[path = "../../delegate-core/src/process/lines.rs"]
mod splitter;

/// The delegate token the seeds were made with.
pub const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// Delegate tokens and bearer tokens: both spellings of a token are the same one, an error never repeats what was read,
/// and a bearer token that opens names an account.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<DelegateToken>() {
        Ok(read) => {
            for spelling in [read.bare(), read.encoded()] {
                assert_eq!(spelling.expose().parse::<DelegateToken>().as_ref(), Ok(&read));
            }
        }
        Err(error) => assert!(text.trim().len() < 8 || !error.to_string().contains(text.trim())),
    }
    let ours: DelegateToken = TOKEN.parse().unwrap();
    if let Ok(claims) = token::open(text, &ours) {
        let other: DelegateToken = "f".repeat(32).parse().unwrap();
        assert!(
            token::open(text, &other).is_err(),
            "opens with any token: {claims:?}"
        );
    }
}

/// Environment files: what was read is written and read again unchanged, and so are the settings of a
/// configuration made of it.
pub fn env_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(vars) = parse_env_file(text) else { return };
    let written = render_env_file(vars.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    assert_eq!(parse_env_file(&written).as_ref(), Ok(&vars));
    let Ok(config) = DelegateConfig::from_env(&vars.into_iter().collect()) else {
        return;
    };
    let env = config.to_env();
    let vars = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.expose().to_owned()));
    // Not the configuration itself: what it leaves open is written as what it stands for.
    let again = DelegateConfig::from_env(&vars.collect::<Env>());
    assert_eq!(again.map(|config| config.to_env()), Ok(env));
}

/// JSON of the protocol: whatever is understood is written so that it is understood the same.
pub fn wire(data: &[u8]) {
    same_again::<Envelope<Registered>>(data);
    same_again::<DelegateParams>(data);
    same_again::<TaskEvents>(data);
    same_again::<Task>(data);
    same_again::<TaskResponse>(data);
    same_again::<Vec<LogLine>>(data);
    // Only ever read.
    let _ = serde_json::from_slice::<RunnerEvents>(data);
    let _ = serde_json::from_slice::<Payload>(data);
}

fn same_again<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else {
        return;
    };
    let written = serde_json::to_string(&read).unwrap();
    let again: T = serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(serde_json::to_string(&again).unwrap(), written);
}

/// Messages of the persistent connection: whatever is understood is written so that it is understood the same.
pub fn stream(data: &[u8]) {
    if let Ok(read) = FromDelegate::decode(data) {
        assert_eq!(
            FromDelegate::decode(read.encode_to_vec().as_slice()).as_ref(),
            Ok(&read)
        );
    }
    if let Ok(read) = FromManager::decode(data) {
        assert_eq!(
            FromManager::decode(read.encode_to_vec().as_slice()).as_ref(),
            Ok(&read)
        );
    }
}

/// Masking: no secret comes out, however the text is split over writes. The bytes: the size of the writes, secrets one a
/// line, a zero byte, the text.
pub fn mask(data: &[u8]) {
    let Some((&size, rest)) = data.split_first() else {
        return;
    };
    let Some(end) = rest.iter().position(|byte| *byte == 0) else {
        return;
    };
    let (secrets, text) = (&rest[..end], &rest[end + 1..]);
    let Ok(secrets) = std::str::from_utf8(secrets) else {
        return;
    };
    let secrets: Vec<Secret> = secrets.lines().map(Secret::new).collect();
    let masker = Masker::new(&secrets);
    let masked = |size: usize| {
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        for write in text.chunks(size) {
            stream.write(write, &mut out);
        }
        stream.finish(&mut out);
        out
    };
    let whole = masked(usize::MAX);
    assert_eq!(masked(usize::from(size).max(1)), whole, "depends on the writes");
    for secret in secrets.iter().map(Secret::expose) {
        // A secret of the mask's own character is found in every mask.
        if secret.trim().len() >= MIN_SECRET_BYTES && !secret.contains('*') {
            let found = whole.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret:?} in {:?}", String::from_utf8_lossy(&whole));
        }
    }
}

/// Lines: as many as there are line ends, none longer than the bound, the same however the bytes arrive. The first byte
/// is the size of the pieces.
pub fn lines(data: &[u8]) {
    let Some((&size, text)) = data.split_first() else {
        return;
    };
    let split = |size: usize| {
        let (mut splitter, mut lines) = (splitter::LineSplitter::default(), Vec::new());
        for piece in text.chunks(size) {
            splitter.push(piece, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    };
    let whole = split(usize::MAX);
    assert_eq!(split(usize::from(size).max(1)), whole, "depends on the pieces");
    let ends = memchr::memchr_iter(b'\n', text).count();
    let open = text.last().is_some_and(|byte| *byte != b'\n');
    assert_eq!(whole.len(), ends + usize::from(open));
    for line in &whole {
        // A byte that is no text takes three as a replacement character.
        let longest = 3 * splitter::MAX_LINE_BYTES + splitter::TRUNCATED_SUFFIX.len();
        assert!(!line.contains('\n') && line.len() <= longest);
    }
}

/// Pipeline files: a fault has a place in the file; what was read is kept and read again unchanged; and a run of it that
/// somebody ends does end.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let plan = match Plan::read(text, &Registry::standard()) {
        Ok(plan) => plan,
        Err(faults) => {
            assert!(!faults.0.is_empty());
            let lines = text
                .chars()
                .filter(|letter| matches!(letter, '\n' | '\r'))
                .count()
                + 2;
            for fault in &faults.0 {
                assert!((1..=lines).contains(&(fault.at.line as usize)), "{fault}");
            }
            return;
        }
    };
    let kept = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&kept).unwrap(), plan);
    let Ok(inputs) = plan.inputs(&std::collections::BTreeMap::new()) else {
        return;
    };
    let (mut run, _) = Run::start(plan.into(), "run".to_owned(), inputs, 0);
    let by = "somebody".to_owned();
    if run.outcome().is_none() {
        run.apply(0, Event::Abort { by }).unwrap();
    }
    for command in run.outstanding() {
        assert!(
            matches!(command, delegate_core::pipeline::run::Command::Cancel(_)),
            "{command:?} after an abort"
        );
    }
}
