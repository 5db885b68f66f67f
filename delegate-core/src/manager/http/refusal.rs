//! Refusals, in the shape each family of callers reads: the envelope for delegates and the platform API, `error_msg`
//! for the log service, and code, message, field for `/api/v1`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::body::BodyError;
use crate::manager::engine::{EngineError, RunError};
use crate::manager::queue::{AcquireError, RespondError};
use crate::manager::store::StoreError;
use crate::manager::tokens::TokenChangeError;
use crate::pipeline::run::Refusal as Refused;
use crate::pipeline::{Fault, InputError};
use crate::protocol::api::{ApiError, ApiFault};
use crate::protocol::stream::wire;
use crate::protocol::wire::{Envelope, LogServiceError, ResponseMessage, code};

/// What the engine's error means to any caller: status, code, and a sentence.
fn meaning(error: &EngineError) -> (StatusCode, &'static str, String) {
    match error {
        EngineError::Refused(refused) => (StatusCode::UNAUTHORIZED, refused.code(), refused.to_string()),
        EngineError::NotRegistered | EngineError::NotAcquired(AcquireError::NotRegistered) => (
            StatusCode::NOT_FOUND,
            code::DELEGATE_NOT_REGISTERED,
            "This delegate is not registered; it has to register anew.".to_owned(),
        ),
        EngineError::UnknownTask
        | EngineError::NotAcquired(AcquireError::UnknownTask)
        | EngineError::NotTaken(RespondError::UnknownTask) => (
            StatusCode::NOT_FOUND,
            "TASK_NOT_FOUND",
            "There is no such task; GET /api/v1/tasks lists those there are.".to_owned(),
        ),
        EngineError::NotAcquired(error) => (StatusCode::CONFLICT, "TASK_NOT_AVAILABLE", sentence(error)),
        EngineError::NotTaken(error) => (StatusCode::CONFLICT, "TASK_NOT_HELD", sentence(error)),
        EngineError::Full(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "QUEUE_FULL",
            format!(
                "{}; try again when delegates have taken some.",
                sentence(error).trim_end_matches('.')
            ),
        ),
        EngineError::Token(error) => {
            let (status, code) = match error {
                TokenChangeError::BadName => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
                TokenChangeError::Unknown(_) => (StatusCode::NOT_FOUND, "TOKEN_NOT_FOUND"),
                TokenChangeError::Exists(_)
                | TokenChangeError::Blocked(_)
                | TokenChangeError::Active(_)
                | TokenChangeError::TooMany => (StatusCode::CONFLICT, "TOKEN_CONFLICT"),
                TokenChangeError::NoRandomness => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
            };
            (status, code, error.to_string())
        }
        EngineError::Run(error) => of_run(error),
        EngineError::Store(StoreError::Stopping) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "STOPPING",
            "The manager is stopping; try again.".to_owned(),
        ),
        EngineError::Store(error) => {
            tracing::error!(%error, source = ?std::error::Error::source(error), "a call failed");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "The manager cannot reach its database now; try again, and see the manager's log.".to_owned(),
            )
        }
    }
}

/// The same of a run of a pipeline.
fn of_run(error: &RunError) -> (StatusCode, &'static str, String) {
    match error {
        RunError::Faults(faults) => {
            let more = match faults.0.len() {
                0 | 1 => String::new(),
                count => format!(" It is the first of {count} faults."),
            };
            let first = faults.0.first().map(ToString::to_string).unwrap_or_default();
            let stop = if first.ends_with(['.', '?']) { "" } else { "." };
            let message = format!("The pipeline file is not valid: {first}{stop}{more}");
            (StatusCode::BAD_REQUEST, "INVALID_PIPELINE", message)
        }
        RunError::Inputs(errors) => {
            let all: Vec<String> = errors.iter().map(sentence).collect();
            (StatusCode::BAD_REQUEST, "INVALID_REQUEST", all.join(" "))
        }
        RunError::Unknown => (
            StatusCode::NOT_FOUND,
            "RUN_NOT_FOUND",
            "There is no such run; GET /api/v1/pipelines lists those there are.".to_owned(),
        ),
        RunError::UnknownStep(_) | RunError::Refused(Refused::Unknown) => (
            StatusCode::NOT_FOUND,
            "STEP_NOT_FOUND",
            "There is no such step in the run; GET /api/v1/pipelines/{id} shows paths and numbers."
                .to_owned(),
        ),
        RunError::TooMany => (
            StatusCode::SERVICE_UNAVAILABLE,
            "TOO_MANY_RUNS",
            format!(
                "{}; try again when some are over.",
                sentence(error).trim_end_matches('.')
            ),
        ),
        RunError::Refused(refusal) => (StatusCode::CONFLICT, "RUN_CONFLICT", sentence(refusal)),
    }
}

/// A lower-case fragment as a sentence.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// A refusal to a delegate, or to a caller of the platform API.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let (status, code, message) = meaning(&error);
        Self::new(status, code, message)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.code(), error.message())
    }
}

/// The same on the persistent connection.
impl From<Refusal> for wire::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status.as_u16().into(),
            code: refusal.code,
            message: refusal.message,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Envelope::<()> {
            meta_data: serde_json::json!({}),
            resource: None,
            response_messages: vec![ResponseMessage {
                code: self.code,
                level: "ERROR".to_owned(),
                message: self.message,
            }],
        };
        (self.status, Json(body)).into_response()
    }
}

/// A refusal to a caller of `/api/v1`.
#[derive(Debug)]
pub(super) struct ApiRefusal {
    status: StatusCode,
    error: ApiError,
}

impl ApiRefusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: ApiError {
                code: code.to_owned(),
                message: message.into(),
                field: None,
                faults: Vec::new(),
            },
        }
    }

    /// A field or parameter that is not as it should be.
    pub(super) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message);
        refusal.error.field = Some(field.into());
        refusal
    }
}

impl From<EngineError> for ApiRefusal {
    fn from(error: EngineError) -> Self {
        let (status, code, message) = meaning(&error);
        let mut refusal = Self::new(status, code, message);
        if matches!(error, EngineError::Token(TokenChangeError::BadName)) {
            refusal.error.field = Some("name".to_owned());
        }
        match error {
            EngineError::Run(RunError::Faults(faults)) => {
                refusal.error.field = Some("file".to_owned());
                refusal.error.faults = faults.0.into_iter().map(in_file).collect();
            }
            EngineError::Run(RunError::Inputs(errors)) => {
                refusal.error.field = Some("variables".to_owned());
                refusal.error.faults = errors.iter().map(in_inputs).collect();
            }
            _ => {}
        }
        refusal
    }
}

fn in_file(fault: Fault) -> ApiFault {
    ApiFault {
        line: Some(fault.at.line),
        column: Some(fault.at.column),
        problem: fault.problem,
    }
}

fn in_inputs(error: &InputError) -> ApiFault {
    ApiFault {
        line: None,
        column: None,
        problem: error.to_string(),
    }
}

impl From<BodyError> for ApiRefusal {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.code(), error.message())
    }
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.error)).into_response()
    }
}

/// A refusal to a caller of the log service.
#[derive(Debug)]
pub(super) struct LogRefusal {
    status: StatusCode,
    message: String,
}

impl LogRefusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl From<EngineError> for LogRefusal {
    fn from(error: EngineError) -> Self {
        let (status, _, message) = meaning(&error);
        Self { status, message }
    }
}

impl From<BodyError> for LogRefusal {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.message())
    }
}

impl IntoResponse for LogRefusal {
    fn into_response(self) -> Response {
        let body = LogServiceError {
            error_msg: self.message,
        };
        (self.status, Json(body)).into_response()
    }
}
