//! What goes wrong with the platform API, each with what to do next, and how a user is told.

use crate::framework::diagnostics::{Diagnostic, Diagnostics};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// No key.
    #[error(
        "there is no key for the manager's platform API; set the provider's platform_api_key, or HARNESS_PLATFORM_API_KEY"
    )]
    NoKey,
    /// No manager.
    #[error("it is not known where the manager is; set the provider's endpoint, or HARNESS_ENDPOINT")]
    NoEndpoint,
    /// No account.
    #[error("it is not known which account is meant; set the provider's account_id, or HARNESS_ACCOUNT_ID")]
    NoAccount,
    /// The address is none.
    #[error("the provider's endpoint (HARNESS_ENDPOINT) must be a URL, for example https://app.harness.io")]
    BadEndpoint,
    /// The account is none.
    #[error("the account id {0}; correct account_id, or HARNESS_ACCOUNT_ID")]
    BadAccount(String),
    /// An argument of the provider is not known yet.
    #[error(
        "the provider's {0} is known only after apply, but it is needed now; apply what it depends on first (terraform apply \
         -target=…), or set it to something known"
    )]
    Unknown(&'static str),
    /// The HTTP client cannot be made.
    #[error("the connection to the manager cannot be set up: {0}")]
    Client(String),
    /// Nobody answered.
    #[error(
        "cannot reach the manager at {url} after {attempts} attempts: {reason}; check the provider's endpoint and the network"
    )]
    Unreachable {
        /// Where, without query and login.
        url: String,
        /// What the network said.
        reason: String,
        /// How often it was tried.
        attempts: u32,
        /// Whether the manager may have done what was asked all the same.
        in_doubt: bool,
    },
    /// The key is not accepted.
    #[error(
        "the manager at {url} does not accept the API key: {message}; check the provider's platform_api_key \
         (HARNESS_PLATFORM_API_KEY): that it is whole, has not expired, and is of this account"
    )]
    KeyRefused {
        /// Where.
        url: String,
        /// What it said.
        message: String,
    },
    /// The key may not do this.
    #[error(
        "the API key may not {action} in account {account}: {message}; check account_id, and that the key's role allows it"
    )]
    Forbidden {
        /// What was asked.
        action: String,
        /// Of which account.
        account: String,
        /// What it said.
        message: String,
    },
    /// The manager said no, or could not.
    #[error("the manager did not {action}: {message}")]
    Refused {
        /// What was asked.
        action: String,
        /// HTTP status.
        status: u16,
        /// What it said, with status and correlation id.
        message: String,
    },
    /// Somebody else answered.
    #[error(
        "{url} answered {what}, not as a manager; check the provider's endpoint (HARNESS_ENDPOINT) and what is in between"
    )]
    NotTheManager {
        /// Where.
        url: String,
        /// What came.
        what: String,
    },
    /// It was asked to stop.
    #[error("interrupted while it was to {action}; apply again")]
    Stopped {
        /// What was asked.
        action: String,
    },
}

impl PlatformError {
    /// Whether the manager may have done what was asked although no good answer came.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Unreachable { in_doubt, .. } => *in_doubt,
            Self::Refused { status, .. } => *status >= 500,
            Self::NotTheManager { .. } | Self::Stopped { .. } => true,
            _ => false,
        }
    }

    /// Whether the manager understood, and said no.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 400..=499,
                ..
            }
        )
    }
}

impl From<PlatformError> for Diagnostics {
    fn from(error: PlatformError) -> Self {
        let summary = match &error {
            PlatformError::NoKey => "No platform API key",
            PlatformError::NoEndpoint => "No manager",
            PlatformError::NoAccount => "No account",
            PlatformError::BadEndpoint | PlatformError::BadAccount(_) => "Invalid provider argument",
            PlatformError::Unknown(_) => "The provider is not fully known yet",
            PlatformError::Client(_) => "The manager cannot be called",
            PlatformError::Unreachable { .. } => "The manager cannot be reached",
            PlatformError::KeyRefused { .. } => "The platform API key was refused",
            PlatformError::Forbidden { .. } => "The platform API key does not allow this",
            PlatformError::Refused { .. } => "The manager refused",
            PlatformError::NotTheManager { .. } => "This is not a manager",
            PlatformError::Stopped { .. } => "Interrupted",
        };
        Diagnostic::from_error(summary, &error, "").into()
    }
}
