//! `decode_token_hint`: enough of a delegate token to tell it from others, and not enough to use it.

use delegate_core::config::DelegateToken;

use crate::framework::prelude::*;

/// Characters shown at each end of the 32. What stays hidden is 96 bits, far beyond guessing.
const SHOWN: usize = 4;

/// The function.
#[derive(Debug, Default)]
pub struct DecodeTokenHint;

#[async_trait]
impl Function for DecodeTokenHint {
    fn name(&self) -> &'static str {
        "decode_token_hint"
    }

    fn signature(&self) -> Signature {
        Signature::returning(Type::object([("encoding", Type::String), ("hint", Type::String)]))
            .parameter(Parameter::new(
                "token",
                Type::String,
                "A delegate token, in either of its forms.",
            ))
            .describe(
                "Tells a delegate token from others without showing it",
                "Gives `encoding`, which is `base64` (as the manager shows it) or `hex` (32 characters), and `hint`, the first and the \
                 last four of the 32 characters: the same hint for both forms of one token. A malformed token is an error that does \
                 not repeat it.\n\nThe result of a sensitive argument is sensitive; `nonsensitive(…)` around it shows the hint.",
            )
    }

    async fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        let given = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let token: DelegateToken = given
            .parse()
            .map_err(|problem| FunctionError::argument(0, format!("The token {problem}.")))?;
        let bare = token.bare();
        // The bare form is ASCII: any index is a boundary.
        let (first, last) = (
            &bare.expose()[..SHOWN],
            &bare.expose()[bare.expose().len() - SHOWN..],
        );
        let encoding = if given.trim().eq_ignore_ascii_case(bare.expose()) {
            "hex"
        } else {
            "base64"
        };
        Ok(Value::object([
            ("encoding", Value::from(encoding)),
            ("hint", Value::from(format!("{first}…{last}"))),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hint(token: &str) -> Result<Value, FunctionError> {
        DecodeTokenHint.call(vec![token.into()]).await
    }

    #[tokio::test]
    async fn both_forms_of_a_token_have_one_hint_which_hides_most_of_it() {
        let token = DelegateToken::generate().unwrap();
        let (bare, encoded) = (token.bare(), token.encoded());
        let hex = hint(bare.expose()).await.unwrap();
        let base64 = hint(encoded.expose()).await.unwrap();
        assert_eq!(hex.named("encoding").as_str(), Some("hex"));
        assert_eq!(base64.named("encoding").as_str(), Some("base64"));
        assert_eq!(hex.named("hint"), base64.named("hint"));
        let text = hex.named("hint").as_str().unwrap();
        assert_eq!(text.chars().count(), 9);
        assert!(bare.expose().starts_with(text.split('…').next().unwrap()));
        assert_eq!(
            hint(&format!(" {} ", bare.expose().to_uppercase()))
                .await
                .unwrap()
                .named("encoding")
                .as_str(),
            Some("hex")
        );
    }

    #[tokio::test]
    async fn a_malformed_token_is_not_repeated() {
        let error = hint("half-a-token").await.unwrap_err();
        assert_eq!(error.argument, Some(0));
        assert!(
            error.text.contains("12 characters") && !error.text.contains("half-a-token"),
            "{error}"
        );
        assert!(hint("").await.unwrap_err().text.contains("is empty"));
    }
}
