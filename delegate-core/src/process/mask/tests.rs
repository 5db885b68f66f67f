use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

fn masker(secrets: &[&str]) -> Masker {
    let secrets: Vec<Secret> = secrets.iter().map(|&text| Secret::new(text)).collect();
    Masker::new(&secrets)
}

fn mask(secrets: &[&str], chunks: &[&[u8]]) -> Vec<u8> {
    let mut stream = masker(secrets).stream();
    let mut out = Vec::new();
    for chunk in chunks {
        stream.write(chunk, &mut out);
    }
    stream.finish(&mut out);
    out
}

fn mask_text(secrets: &[&str], text: &str) -> String {
    masker(secrets).mask_str(text).into_owned()
}

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";

#[test]
fn a_secret_is_masked_wherever_writes_split_it() {
    assert_eq!(
        mask(&["hunter2"], &[b"a hun", b"t", b"er2 b"]),
        b"a ************** b"
    );
}

#[test]
fn clean_text_is_not_held_back() {
    let mut out = Vec::new();
    masker(&["hunter2", "first\nsecond"])
        .stream()
        .write(b"line\n", &mut out);
    assert_eq!(out, b"line\n");
}

#[test]
fn a_beginning_that_leads_nowhere_comes_out_unchanged() {
    assert_eq!(mask(&["hunter2"], &[b"hunt", b"ing hunter"]), b"hunting hunter");
}

#[test]
fn of_overlapping_secrets_nothing_stays() {
    assert_eq!(
        mask_text(&["abcdef", "defghi", "cdefg"], "xabcdefghix"),
        format!("x{MASK}x")
    );
    assert_eq!(
        mask_text(&["secret", "secret-long"], "secret-long secret-lon"),
        format!("{MASK} {MASK}-lon")
    );
}

#[test]
fn neighbours_are_masked_each() {
    assert_eq!(mask_text(&["hunter2"], "hunter2hunter2"), format!("{MASK}{MASK}"));
}

#[test]
fn a_secret_of_several_lines_is_masked_whole_and_line_by_line() {
    let key = "-----BEGIN KEY-----\nabcdefgh\n}\nijklmnop\n-----END KEY-----\n";
    assert_eq!(mask_text(&[key], &format!("a {key}b")), format!("a {MASK}b"));
    assert_eq!(
        mask_text(&[key], "x ijklmnop x\r\n} x"),
        format!("x {MASK} x\r\n}} x")
    );
}

#[test]
fn base64_is_masked_at_every_alignment_and_wrapped() {
    for before in ["", "x", "xy", "xyz"] {
        let encoded = STANDARD.encode(format!("{before}correct horse battery"));
        let masked = mask_text(&["correct horse battery"], &encoded);
        assert!(masked.contains(MASK), "{encoded}");
        assert!(
            masked.replace(MASK, "").len() <= 8,
            "what is left depends on its neighbours: {masked}"
        );
    }
    let long = "0123456789".repeat(20);
    let encoded = STANDARD.encode(&long);
    let wrapped = encoded
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect::<Vec<_>>();
    let masked = mask_text(&[&long], &wrapped.join("\n"));
    assert_eq!(masked.replace(MASK, "").trim(), "");
}

#[test]
fn a_web_token_is_masked_though_nobody_declared_it() {
    assert_eq!(
        mask_text(&[], &format!("auth: Bearer {TOKEN}\n")),
        format!("auth: Bearer {MASK}\n")
    );
    assert_eq!(
        mask_text(&[], &format!("{TOKEN}, {TOKEN}")),
        format!("{MASK}, {MASK}")
    );
    let encrypted = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXZpdml2aXY.Y2lwaGVy.dGFn";
    assert_eq!(mask_text(&[], encrypted), MASK);
}

#[test]
fn names_with_dots_are_no_web_tokens() {
    for text in [
        "eyJa.example.com",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.one",
        "eyJ.eyJ.eyJ",
        "they",
    ] {
        assert_eq!(mask_text(&[], text), text);
    }
}

#[test]
fn an_endless_token_does_not_fill_memory() {
    let mut stream = Masker::none().stream();
    let mut out = Vec::new();
    stream.write(b"eyJ", &mut out);
    for _ in 0..1000 {
        stream.write(&[b'a'; 1000], &mut out);
        assert!(stream.pending.len() <= 20_000);
    }
    stream.finish(&mut out);
    assert_eq!(out.len(), 1_000_003);
}

#[test]
fn every_text_in_a_json_value_is_masked() {
    let mut value = serde_json::json!({"a": ["x hunter2", 1, null], "hunter2": {"b": "hunter2"}});
    masker(&["hunter2"]).mask_json(&mut value);
    assert_eq!(
        value.to_string(),
        format!(r#"{{"a":["x {MASK}",1,null],"{MASK}":{{"b":"{MASK}"}}}}"#)
    );
}

#[test]
fn debug_shows_no_secret() {
    assert!(!format!("{:?}", masker(&["hunter2"])).contains("hunter2"));
}

/// Few letters, so that secrets overlap each other and themselves; line ends and the beginning of tokens among them.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            8 => "[abc]{1,4}",
            1 => Just("\n".to_owned()),
            1 => Just("eyJ".to_owned()),
            1 => Just(TOKEN.to_owned()),
            1 => Just(".".to_owned()),
            1 => Just("ä".to_owned()),
        ],
        0..30,
    )
    .prop_map(|parts| parts.concat())
}

fn secrets() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        prop_oneof!["[abc]{4,12}", "[abc]{3,6}\n[abc]{3,6}", "[abcä]{4,8}"],
        0..6,
    )
}

/// Base64 as RFC 4648 tells it, bit by bit: another hand than the one that makes the patterns.
fn base64_by_bits(data: &[u8], last_two: [char; 2]) -> String {
    let letters: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(last_two)
        .collect();
    let bits: Vec<u8> = data
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| (byte >> at) & 1))
        .collect();
    let mut text: String = bits
        .chunks(6)
        .map(|six| letters[(0..6).fold(0, |index, at| index * 2 + usize::from(*six.get(at).unwrap_or(&0)))])
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// A secret among other bytes as a program would print it, and the stretches of that which no output may have.
fn printed(form: usize, before: &str, secret: &str, after: &str) -> (String, Vec<String>) {
    let all = format!("{before}{secret}{after}");
    let escaped = |text: &str| {
        let quoted = serde_json::to_string(text).unwrap();
        quoted[1..quoted.len() - 1].to_owned()
    };
    match form {
        0 => (all, vec![secret.to_owned()]),
        1 | 2 => {
            let encoded = base64_by_bits(all.as_bytes(), if form == 1 { ['+', '/'] } else { ['-', '_'] });
            // Whole characters of the secret alone; of those six in a row tell too much.
            let from = (before.len() * 8).div_ceil(6);
            let to = (before.len() + secret.len()) * 8 / 6;
            let inner: Vec<char> = encoded[from..to].chars().collect();
            (
                encoded,
                inner.windows(6).map(|six| six.iter().collect()).collect(),
            )
        }
        3 => {
            let encode =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            (format!("q={}&r", encode(&all)), vec![encode(secret)])
        }
        4 => (format!("{{\"a\":\"{}\"}}", escaped(&all)), vec![escaped(secret)]),
        _ => {
            let lines = secret
                .lines()
                .map(str::trim)
                .filter(|line| line.len() >= MIN_SECRET_BYTES);
            let lines: Vec<String> = lines.map(str::to_owned).collect();
            (lines.join("\r\n  "), lines)
        }
    }
}

proptest! {
    #[test]
    fn a_secret_in_any_form_is_masked_over_any_split(
        secret in prop_oneof!["[A-Za-z0-9+/=_. \"<&%é-]{8,40}", "[a-z0-9+/]{8,30}\n[a-z\"]{5,20}\n[A-Z]{5,20}"],
        before in "[a-z0-9 ]{0,7}",
        after in "[a-z0-9 ]{0,7}",
        form in 0usize..6,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let secret = secret.trim();
        prop_assume!(secret.len() >= 8);
        let (text, telling) = printed(form, &before, secret, &after);
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let masked = String::from_utf8_lossy(&mask(&[secret], &chunks)).into_owned();
        for part in telling {
            // What the neighbours happen to say as well is not the secret's.
            if !before.contains(&part) && !after.contains(&part) {
                prop_assert!(!masked.contains(&part), "{part:?} of {text:?} in {masked:?}");
            }
        }
    }

    #[test]
    fn output_does_not_depend_on_how_the_text_is_split(
        secrets in secrets(),
        parts in prop::collection::vec(text(), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        inserted in any::<prop::sample::Index>(),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let mut text = parts.concat();
        if !secrets.is_empty() {
            text = text.replacen('\n', secrets[inserted.index(secrets.len())], 1);
        }
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut at = 0;
        for cut in cuts {
            chunks.push(&bytes[at..cut]);
            at = cut;
        }
        chunks.push(&bytes[at..]);

        let whole = mask(&secrets, &[bytes]);
        prop_assert_eq!(&mask(&secrets, &chunks), &whole);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&mask(&secrets, &bytewise), &whole);
        let shown = String::from_utf8_lossy(&whole);
        for secret in secrets.iter().filter(|secret| secret.trim().len() >= MIN_SECRET_BYTES) {
            prop_assert!(!shown.contains(secret), "{secret:?} in {shown:?}");
        }
        prop_assert!(!shown.contains(TOKEN));
    }

    #[test]
    fn finds_what_a_naive_search_finds(secrets in secrets(), text in "[abc\n]{0,60}") {
        let forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| forms::of(secret)).collect();
        let mut covered = vec![false; text.len()];
        for form in &forms {
            for start in 0..text.len() {
                if text.as_bytes()[start..].starts_with(form) {
                    covered[start..start + form.len()].fill(true);
                }
            }
        }
        let clean: Vec<u8> = text.bytes().zip(&covered).filter(|(_, covered)| !**covered).map(|(byte, _)| byte).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let masked = mask_text(&secrets, &text);
        prop_assert_eq!(masked.replace('*', "").into_bytes(), clean);
    }

    #[test]
    fn clean_text_passes_unchanged(text in any::<Vec<u8>>()) {
        // No secret of these letters can be in it, and no token without a dot.
        let text: Vec<u8> = text.into_iter().filter(|&byte| byte != b'.' && byte != b'Q').collect();
        let secret = "QQQQ-not-there";
        prop_assert_eq!(mask(&[secret], &[&text]), text);
    }
}
