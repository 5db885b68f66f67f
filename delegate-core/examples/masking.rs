//! Measures masking: a hundred secrets, in text that has none of them, beside the speed of copying the same text.
//!
//! `masking [--runs N]`: one line a figure, as JSON, in gigabytes (10⁹) a second. Nothing is asserted of a time. Each run
//! passes 256 MiB in pieces as they are read from a child, so that the text does not stay in a processor's cache.

#![allow(clippy::print_stdout, reason = "figures are printed")]

use std::hint::black_box;
use std::time::Instant;

use delegate_core::Secret;
use delegate_core::process::mask::Masker;
use serde_json::json;

const SECRETS: usize = 100;

/// What is passed in one run, in bytes.
const TEXT: usize = 256 << 20;

/// One read from a pipe.
const CHUNK: usize = 64 << 10;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == "--runs");
    let runs: usize = at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(10);
    let mut random = fastrand::Rng::with_seed(1);
    let secrets: Vec<Secret> = (0..SECRETS).map(|_| secret(&mut random)).collect();
    let masker = Masker::new(&secrets);
    let text = log(&mut random);

    let mut out = Vec::with_capacity(2 * CHUNK);
    let mut stream = masker.stream();
    measure("masking, 100 secrets", &text, runs, |chunk| {
        out.clear();
        stream.write(chunk, &mut out);
        black_box(&out);
    });
    let mut out = Vec::with_capacity(2 * CHUNK);
    measure("copying", &text, runs, |chunk| {
        out.clear();
        out.extend_from_slice(black_box(chunk));
        black_box(&out);
    });
}

/// As a generator of passwords makes them: 16 to 40 characters.
fn secret(random: &mut fastrand::Rng) -> Secret {
    let length = random.usize(16..=40);
    let text: String = (0..length).map(|_| random.alphanumeric()).collect();
    Secret::new(text)
}

/// As a build prints it: time stamps, levels, paths and words.
fn log(random: &mut fastrand::Rng) -> Vec<u8> {
    let levels = ["INFO", "WARN", "DEBUG"];
    let names = ["compile", "link", "test", "package", "upload", "resolve", "fetch"];
    let mut text = Vec::with_capacity(TEXT + 256);
    while text.len() < TEXT {
        let line = format!(
            "2026-01-{:02}T{:02}:{:02}:00.{:06}Z {:5} build::{} finished step {} of target/release/deps/lib{}-{:016x}.rlib in {} ms\n",
            random.u8(1..29),
            random.u8(0..24),
            random.u8(0..60),
            random.u32(0..1_000_000),
            levels[random.usize(..levels.len())],
            names[random.usize(..names.len())],
            random.u16(..),
            names[random.usize(..names.len())],
            random.u64(..),
            random.u32(0..100_000),
        );
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(TEXT);
    text
}

fn measure(figure: &str, text: &[u8], runs: usize, mut pass: impl FnMut(&[u8])) {
    let mut samples: Vec<f64> = (0..runs)
        .map(|_| {
            let began = Instant::now();
            text.chunks(CHUNK).for_each(&mut pass);
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let bytes = text.len() as f64;
            bytes / 1e9 / began.elapsed().as_secs_f64()
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    let at = |part: usize| samples.get(samples.len().saturating_sub(1) * part / 100);
    println!(
        "{}",
        json!({"figure": figure, "unit": "GB/s", "median": at(50), "least": at(0), "most": at(100), "samples": samples})
    );
}
