//! What the fuzz targets check, over their seeds and over what a random generator makes of these: cut, spliced, changed,
//! repeated. Fuzzing itself takes another compiler and hours; this takes seconds, at each change.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is the test's")]

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a crate of its own elsewhere"
)]
mod properties;

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Inputs made of the seeds of one target.
const CASES: u32 = 500;

/// A change to an input.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index),
    Remove(Index, Index),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    /// Puts a part of another seed there.
    Splice(Index, Index, Index, Index),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    // What parsers treat as special is likelier to matter than any byte.
    let special = prop::sample::select(b"\0\n\r'\"\\=#{}[],:.0-9eE+/ \x7f\x80\xc3\xff".to_vec());
    let byte = prop_oneof![special, any::<u8>()].boxed();
    prop_oneof![
        at().prop_map(Change::Cut),
        (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        (at(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), prop::collection::vec(byte, 1..6)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), at(), at(), at()).prop_map(|(at, seed, from, to)| Change::Splice(at, seed, from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn range(from: Index, to: Index, length: usize) -> std::ops::Range<usize> {
    let (a, b) = (from.index(length + 1), to.index(length + 1));
    a.min(b)..a.max(b)
}

fn apply(change: &Change, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let length = input.len();
    match change {
        Change::Cut(at) => input.truncate(at.index(length + 1)),
        Change::Remove(from, to) => drop(input.drain(range(*from, *to, length))),
        Change::Set(at, byte) if length > 0 => input[at.index(length)] = *byte,
        Change::Set(..) => {}
        Change::Insert(at, bytes) => {
            let at = at.index(length + 1);
            input.splice(at..at, bytes.iter().copied());
        }
        Change::Splice(at, seed, from, to) => {
            let (at, seed) = (at.index(length + 1), seed.get(seeds));
            input.splice(at..at, seed[range(*from, *to, seed.len())].iter().copied());
        }
        Change::Repeat(from, to) => {
            let range = range(*from, *to, length);
            let end = range.end;
            let part = input[range].to_vec();
            input.splice(end..end, part);
        }
    }
}

/// Runs a target over its seeds and what becomes of them.
fn holds(target: &str, property: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "too few seeds in {}", folder.display());
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for seed in &seeds {
        property(seed);
    }
    // A failure is printed with its input, which is to become a seed.
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let inputs = (any::<Index>(), prop::collection::vec(change(), 1..6));
    let ran = TestRunner::new(config).run(&inputs, |(seed, changes)| {
        let mut input = seed.get(&seeds).clone();
        for change in &changes {
            apply(change, &mut input, &seeds);
        }
        let outcome = std::panic::catch_unwind(|| property(&input));
        prop_assert!(
            outcome.is_ok(),
            "{target} does not hold for {:?}",
            String::from_utf8_lossy(&input)
        );
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
}

#[test]
fn of_tokens() {
    holds("token", properties::token);
}

#[test]
fn of_environment_files() {
    holds("env_file", properties::env_file);
}

#[test]
fn of_json_on_the_wire() {
    holds("wire", properties::wire);
}

#[test]
fn of_messages_of_the_stream() {
    holds("stream", properties::stream);
}

#[test]
fn of_masking() {
    holds("mask", properties::mask);
}

#[test]
fn of_lines() {
    holds("lines", properties::lines);
}

#[test]
fn of_pipeline_files() {
    holds("pipeline", properties::pipeline);
}
