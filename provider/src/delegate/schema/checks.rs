//! What a text argument must look like, beyond what its type says: one sentence for what does not.

use std::time::Duration;

pub(in crate::delegate) fn parses<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
) -> Result<(), String> {
    text.parse::<T>()
        .map(|_| ())
        .map_err(|problem| format!("The value {problem}."))
}

pub(in crate::delegate) fn is_url(text: &str) -> Result<(), String> {
    match text.parse::<url::Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err("Must be a URL, for example https://app.harness.io.".to_owned()),
    }
}

pub(in crate::delegate) fn is_absolute(text: &str) -> Result<(), String> {
    // A systemd unit and a shell read the path; what either would take apart is refused.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@=:~".contains(c);
    if text.starts_with('/') && text.chars().all(plain) {
        Ok(())
    } else {
        Err("Must be an absolute path of letters, digits and / . _ - + @ = : ~.".to_owned())
    }
}

pub(in crate::delegate) fn is_label(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| inner(c) && c != '-';
    if text.len() <= 63 && text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner) {
        Ok(())
    } else {
        Err(
            "Must have 1 to 63 lower-case letters, digits and '-', and begin and end with a letter or digit."
                .to_owned(),
        )
    }
}

pub(super) fn is_free_variable(text: &str) -> Result<(), String> {
    const OWNED: &[&str] = &[
        "ACCOUNT_ID",
        "ACCOUNT_SECRET",
        "DELEGATE_DESCRIPTION",
        "DELEGATE_NAME",
        "DELEGATE_TAGS",
        "DELEGATE_TOKEN",
        "DELEGATE_TOKEN_FILE",
        "HARNESS_ACCOUNT_ID",
        "HARNESS_DELEGATE_NAME",
        "HARNESS_DELEGATE_TAGS",
        "HARNESS_DELEGATE_TOKEN",
        "INIT_SCRIPT",
        "LOG_STREAMING_SERVICE_URL",
        "MANAGER_HOST_AND_PORT",
        "NO_PROXY",
        "POLL_FOR_TASKS",
        "PROXY_HOST",
        "PROXY_PASSWORD",
        "PROXY_PORT",
        "PROXY_SCHEME",
        "PROXY_USER",
        "UPGRADER_TOKEN",
    ];
    if OWNED.contains(&text) {
        return Err(format!("{text} is set by an argument of its own; use that."));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.is_empty() && text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        Ok(())
    } else {
        Err("A variable's name has letters, digits and '_', and does not begin with a digit.".to_owned())
    }
}

pub(in crate::delegate) fn is_duration(text: &str) -> Result<(), String> {
    duration(text)
        .map(|_| ())
        .ok_or_else(|| "Must be a duration, for example 90s, 5m or 1h30m.".to_owned())
}

/// A duration as Go writes it: numbers with `h`, `m`, `s` or `ms`, together more than zero.
pub(in crate::delegate) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "h" => Duration::from_hours(1),
            "m" => Duration::from_mins(1),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[unit_end..];
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("0s", None),
            ("5", None),
            ("", None),
            ("m", None),
        ] {
            assert_eq!(duration(text).map(|d| d.as_secs()), seconds, "{text:?}");
        }
    }

    #[test]
    fn names_and_paths_that_a_place_does_not_take_are_refused() {
        assert!(is_label("team-a").is_ok() && is_label("Team").is_err() && is_label("a-").is_err());
        assert!(
            is_absolute("/var/lib/x").is_ok() && is_absolute("x").is_err() && is_absolute("/a b").is_err()
        );
        assert!(is_free_variable("HTTP_TIMEOUT").is_ok() && is_free_variable("1A").is_err());
        assert!(
            is_free_variable("DELEGATE_TOKEN")
                .unwrap_err()
                .contains("argument of its own")
        );
        assert!(is_url("https://x/gratis").is_ok() && is_url("app.harness.io").is_err());
    }
}
