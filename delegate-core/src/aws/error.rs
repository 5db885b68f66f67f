//! What went wrong with a call of AWS.

use http::StatusCode;

use super::{Service, element};
use crate::protocol::call::{CallError, Reply, quoted};

/// What a service answers when credentials have just expired, or were taken back.
const STALE: [&str; 5] = [
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
];

/// What it answers when there were too many calls.
const THROTTLED: [&str; 5] = [
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
];

/// Why a call gave nothing. A sentence fragment, with what to do, and without any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AwsError {
    /// The service was not reached, or there are no credentials to call it with.
    #[error("{service} {operation} in {region}: {problem}")]
    Unanswered {
        /// What people call it.
        service: &'static str,
        /// AWS's name.
        operation: &'static str,
        /// Where.
        region: String,
        /// What was tried and what happened.
        problem: String,
    },
    /// The service said no.
    #[error("{} {operation} in {region}: {code} ({status}): {said}{}", service.name, advice(service, operation, code))]
    Refused {
        /// Who.
        service: &'static Service,
        /// AWS's name.
        operation: &'static str,
        /// Where.
        region: String,
        /// AWS's name of the problem, or `no code`.
        code: String,
        /// Of the answer.
        status: StatusCode,
        /// The service's words.
        said: String,
    },
}

impl AwsError {
    pub(super) fn unanswered(
        service: &Service,
        operation: &'static str,
        region: &str,
        CallError(problem): CallError,
    ) -> Self {
        Self::Unanswered {
            service: service.name,
            operation,
            region: region.to_owned(),
            problem,
        }
    }

    /// From an answer in JSON or XML.
    pub(super) fn refused(
        service: &'static Service,
        operation: &'static str,
        region: &str,
        reply: &Reply,
    ) -> Self {
        let json = reply.json();
        let text = String::from_utf8_lossy(&reply.body);
        // With or without a name space before it.
        let kind = json["__type"].as_str().and_then(|kind| kind.rsplit('#').next());
        // The answer to a HEAD has no words.
        let silent = match reply.status {
            StatusCode::FORBIDDEN => "AccessDenied",
            StatusCode::NOT_FOUND => "NotFound",
            _ => "no code",
        };
        let code = kind.or_else(|| element(&text, "Code")).unwrap_or(silent);
        let said = json["message"]
            .as_str()
            .or(json["Message"].as_str())
            .or_else(|| element(&text, "Message"))
            .unwrap_or("it says nothing more");
        Self::Refused {
            service,
            operation,
            region: region.to_owned(),
            code: quoted(code),
            status: reply.status,
            said: quoted(said),
        }
    }

    /// AWS's name of the problem, when the service answered.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Unanswered { .. } => None,
            Self::Refused { code, .. } => Some(code),
        }
    }

    /// Status of the answer, when there was one.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unanswered { .. } => None,
            Self::Refused { status, .. } => Some(*status),
        }
    }

    /// Whether it may go well when it is tried again.
    pub(super) fn is_passing(&self) -> bool {
        self.is_throttled() || self.status().is_none_or(|status| status.is_server_error())
    }

    pub(super) fn is_stale(&self) -> bool {
        self.code().is_some_and(|code| STALE.contains(&code))
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.code().is_some_and(|code| THROTTLED.contains(&code))
    }
}

/// What to do about the problems that are the same everywhere.
fn advice(service: &Service, operation: &str, code: &str) -> String {
    match code {
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => {
            // Permissions of S3 are fewer than its operations.
            let permission = match operation {
                "HeadObject" => "GetObject",
                "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => "PutObject",
                other => other,
            };
            format!("; allow {}:{permission} to this identity", service.signed_as)
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "; correct the secret key, or the clock of this machine".to_owned()
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => "; name the bucket's own region".to_owned(),
        "RequestTimeTooSkewed" | "RequestExpired" => "; correct the clock of this machine".to_owned(),
        code if STALE.contains(&code) => "; give keys that are valid".to_owned(),
        code if THROTTLED.contains(&code) => "; try again later, or ask AWS for more".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ECS, STS};
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: body.as_bytes().to_vec().into(),
        }
    }

    #[test]
    fn a_refusal_says_who_refused_what_and_what_to_do() {
        let json = reply(
            400,
            r#"{"__type": "com.amazonaws.ecs#AccessDeniedException", "message": "not for you"}"#,
        );
        let error = AwsError::refused(&ECS, "UpdateService", "eu-west-1", &json);
        assert_eq!(
            error.to_string(),
            "ECS UpdateService in eu-west-1: AccessDeniedException (400 Bad Request): not for you; allow ecs:UpdateService to this \
             identity"
        );
        let xml = reply(
            403,
            "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no such\n key</Message></Error></ErrorResponse>",
        );
        let error = AwsError::refused(&STS, "AssumeRole", "eu-west-1", &xml);
        assert!(error.is_stale());
        assert_eq!(
            error.to_string(),
            "STS AssumeRole in eu-west-1: InvalidClientTokenId (403 Forbidden): no such key; give keys that are valid"
        );
        let nothing = AwsError::refused(&STS, "AssumeRole", "eu-west-1", &reply(502, "<html>"));
        assert!(nothing.to_string().contains("no code (502 Bad Gateway)"));
    }
}
