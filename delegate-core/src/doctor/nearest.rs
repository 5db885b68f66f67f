//! Which name a misspelt one was meant to be.

use crate::config::variables;

/// Single letters added, left out, changed or swapped, at most, in a name of this length.
fn tolerance(length: usize) -> usize {
    match length {
        0..=5 => 0,
        6..=8 => 1,
        9..=14 => 2,
        _ => 3,
    }
}

/// The known variable that a name is closest to, if it is close to one.
pub(super) fn variable(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    variables::all()
        .map(|known| (strsim::osa_distance(&upper, known), known))
        .filter(|(distance, known)| *distance <= tolerance(known.len().min(name.len())))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognized_and_other_names_are_not() {
        for (written, meant) in [
            ("POLL_FOR_TASK", "POLL_FOR_TASKS"),
            ("MANGER_HOST_AND_PORT", "MANAGER_HOST_AND_PORT"),
            ("DELEGATE_TOKEN_FIEL", "DELEGATE_TOKEN_FILE"),
            ("ACOUNT_ID", "ACCOUNT_ID"),
            ("delegate_name", "DELEGATE_NAME"),
        ] {
            assert_eq!(variable(written), Some(meant), "{written}");
        }
        for other in ["PATH", "HOME", "HTTP_PROXY", "LOGNAME", "HOSTNAME", "KUBECONFIG"] {
            assert_eq!(variable(other), None, "{other}");
        }
    }
}
