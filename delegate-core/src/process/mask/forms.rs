//! The forms in which programs print a secret.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::MIN_SECRET_BYTES;

/// Shorter pieces of base64 are found in innocent text too often.
const MIN_BASE64: usize = 6;

/// Where `base64` and `openssl` wrap their lines.
const WRAPS: [usize; 2] = [76, 64];

/// Every pattern that gives the secret away. May contain some twice.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let trimmed = secret.trim();
    if trimmed.len() < MIN_SECRET_BYTES {
        return Vec::new();
    }
    let mut forms = vec![secret.to_owned(), trimmed.to_owned()];
    if trimmed.contains('\n') {
        forms.extend(
            trimmed
                .lines()
                .map(str::trim)
                .filter(|line| line.len() >= MIN_SECRET_BYTES)
                .map(str::to_owned),
        );
    }
    for text in [secret, trimmed] {
        base64(text.as_bytes(), &mut forms);
        percent(text, &mut forms);
        json(text, &mut forms);
        shell(text, &mut forms);
        if secret.len() == trimmed.len() {
            break;
        }
    }
    forms
        .into_iter()
        .filter(|form| form.len() >= MIN_SECRET_BYTES)
        .map(String::into_bytes)
        .collect()
}

fn base64(secret: &[u8], forms: &mut Vec<String>) {
    for engine in [&STANDARD, &URL_SAFE] {
        // Encoded on its own: with its padding, and in the lines in which tools write it.
        let whole = engine.encode(secret);
        for wrap in WRAPS {
            forms.extend(
                pieces(&whole, wrap)
                    .filter(|piece| piece.len() >= MIN_BASE64)
                    .map(str::to_owned),
            );
        }
        forms.push(whole);
        // In the middle of other data: of the three ways in which it can lie in groups of three bytes, the characters
        // that depend on the secret alone.
        for before in 0..3 {
            let mut data = vec![0; before];
            data.extend_from_slice(secret);
            let encoded = engine.encode(&data);
            let first = (before * 8).div_ceil(6);
            let end = data.len() * 8 / 6;
            if let Some(inner) = encoded.get(first..end).filter(|inner| inner.len() >= MIN_BASE64) {
                forms.push(inner.to_owned());
            }
        }
    }
}

/// ASCII text in pieces of `length`.
fn pieces(text: &str, length: usize) -> impl Iterator<Item = &str> {
    (0..text.len())
        .step_by(length)
        .filter_map(move |at| text.get(at..text.len().min(at + length)))
}

/// Percent encoding: RFC 3986, as in a query, and what browsers leave alone; either case of the digits.
fn percent(secret: &str, forms: &mut Vec<String>) {
    for (plain, plus) in [
        ("-_.~", false),
        ("-_.~", true),
        ("*-._", true),
        ("-_.!~*'()", false),
        ("-_.~/", false),
    ] {
        for upper in [true, false] {
            let mut form = String::new();
            for byte in secret.bytes() {
                match byte {
                    b' ' if plus => form.push('+'),
                    byte if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) => {
                        form.push(byte.into());
                    }
                    byte if upper => form.push_str(&format!("%{byte:02X}")),
                    byte => form.push_str(&format!("%{byte:02x}")),
                }
            }
            forms.push(form);
        }
    }
}

/// The inside of a JSON string: as most write it, as Go does (`<`, `>` and `&` escaped), and in ASCII as Python does.
fn json(secret: &str, forms: &mut Vec<String>) {
    let plain = serde_json::Value::from(secret).to_string();
    let plain = &plain[1..plain.len() - 1];
    forms.push(
        plain
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
    );
    let mut ascii = String::new();
    for character in plain.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    forms.push(ascii);
    forms.push(plain.to_owned());
}

/// The inside of a quotation, as `set -x` shows it: bash writes a quote as `'\''`, dash as `'"'"'`.
fn shell(secret: &str, forms: &mut Vec<String>) {
    for quote in [r"'\''", r#"'"'"'"#] {
        forms.push(secret.replace('\'', quote));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(secret: &str, form: &str) -> bool {
        of(secret).iter().any(|pattern| pattern == form.as_bytes())
    }

    #[test]
    fn forms_are_those_that_other_programs_print() {
        // From: printf 'pa"s<s wörd/'\''1' | base64; python3 -c 'urllib.parse.quote…'; jq; bash -x
        let secret = "pa\"s<s wörd/'1";
        for form in [
            "cGEiczxzIHfDtnJkLycx",
            "pa%22s%3Cs%20w%C3%B6rd%2F%271",
            "pa%22s%3cs%20w%c3%b6rd%2f%271",
            "pa%22s%3Cs+w%C3%B6rd%2F%271",
            "pa%22s%3Cs%20w%C3%B6rd%2F'1",
            "pa\\\"s<s wörd/'1",
            "pa\\\"s\\u003cs wörd/'1",
            "pa\\\"s<s w\\u00f6rd/'1",
            "pa\"s<s wörd/'\\''1",
        ] {
            assert!(has(secret, form), "{form}");
        }
    }

    #[test]
    fn a_short_secret_has_no_forms_and_a_short_line_is_left_out() {
        assert!(of("abc").is_empty());
        assert!(of(" abc\n").is_empty());
        assert!(!has("first line\n}\nlast line", "}"));
        assert!(has("first line\n  }\n  last line\n", "last line"));
    }
}
