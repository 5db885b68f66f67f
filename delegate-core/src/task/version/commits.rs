//! What commits call for, by conventionalcommits.org.

use super::semantic::Level;

/// The greatest level that a message calls for.
pub(super) fn level(messages: &[String]) -> Level {
    messages
        .iter()
        .map(|message| of(message))
        .max()
        .unwrap_or(Level::None)
}

fn of(message: &str) -> Level {
    let mut lines = message.lines();
    let Some((head, _)) = lines.next().unwrap_or_default().split_once(": ") else {
        return Level::None;
    };
    let (head, marked) = match head.strip_suffix('!') {
        Some(head) => (head, true),
        None => (head, false),
    };
    let kind = match head.split_once('(') {
        Some((kind, scope)) if scope.ends_with(')') => kind,
        Some(_) => return Level::None,
        None => head,
    };
    let is_kind = !kind.is_empty()
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_kind {
        return Level::None;
    }
    let footer = |line: &str| line.starts_with("BREAKING CHANGE: ") || line.starts_with("BREAKING-CHANGE: ");
    if marked || lines.any(footer) {
        return Level::Major;
    }
    match kind.to_lowercase().as_str() {
        "feat" => Level::Minor,
        "fix" | "perf" => Level::Patch,
        _ => Level::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_call_for_what_the_convention_says() {
        for (message, expected) in [
            ("fix: a", Level::Patch),
            ("perf(core): a", Level::Patch),
            ("feat(api): a\n\nwhy", Level::Minor),
            ("Feat: a", Level::Minor),
            ("feat!: a", Level::Major),
            ("chore(deps)!: a", Level::Major),
            ("fix: a\n\nwhy\n\nBREAKING CHANGE: b", Level::Major),
            ("docs: a", Level::None),
            ("feat:a", Level::None),
            ("feat (x: a", Level::None),
            ("feature work: a", Level::None),
            ("a\n\nBREAKING CHANGE: b", Level::None),
            ("", Level::None),
        ] {
            assert_eq!(of(message), expected, "{message:?}");
        }
        assert_eq!(
            level(&["docs: a".into(), "feat: b".into(), "fix: c".into()]),
            Level::Minor
        );
        assert_eq!(level(&[]), Level::None);
    }
}
