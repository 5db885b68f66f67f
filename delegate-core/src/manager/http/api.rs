//! `/api/v1`: what holders of the API key may do, and its description.

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::App;
use super::body::{BodyError, Read};
use super::refusal::ApiRefusal;
use super::{pipelines, tasks};
use crate::manager::engine::timestamp;
use crate::manager::store::TokenRow;
use crate::protocol::api::{CreateToken, DelegateList, TokenList, TokenView};

/// The description of these paths, kept true by a test.
const OPENAPI: &str = include_str!("openapi.json");

/// Method and path of everything below `/api/v1`, as the description names them.
pub const ROUTES: [(&str, &str); 19] = [
    ("get", "/openapi.json"),
    ("get", "/tasks"),
    ("post", "/tasks"),
    ("get", "/tasks/{id}"),
    ("post", "/tasks/{id}/abort"),
    ("get", "/tasks/{id}/logs"),
    ("get", "/delegates"),
    ("get", "/tokens"),
    ("post", "/tokens"),
    ("get", "/tokens/{name}"),
    ("delete", "/tokens/{name}"),
    ("post", "/tokens/{name}/revoke"),
    ("get", "/pipelines"),
    ("post", "/pipelines"),
    ("get", "/pipelines/{id}"),
    ("post", "/pipelines/{id}/abort"),
    ("post", "/pipelines/{id}/steps/{step}/approve"),
    ("post", "/pipelines/{id}/steps/{step}/reject"),
    ("post", "/pipelines/{id}/steps/{step}/decide"),
];

fn handler(method: &str, path: &str) -> Option<MethodRouter<App>> {
    Some(match (method, path) {
        ("get", "/openapi.json") => get(openapi),
        ("get", "/tasks") => get(tasks::list),
        ("post", "/tasks") => post(tasks::submit),
        ("get", "/tasks/{id}") => get(tasks::show),
        ("post", "/tasks/{id}/abort") => post(tasks::abort),
        ("get", "/tasks/{id}/logs") => get(tasks::logs),
        ("get", "/delegates") => get(delegates),
        ("get", "/tokens") => get(list_tokens),
        ("post", "/tokens") => post(create_token),
        ("get", "/tokens/{name}") => get(show_token),
        ("delete", "/tokens/{name}") => delete(delete_token),
        ("post", "/tokens/{name}/revoke") => post(revoke_token),
        ("get", "/pipelines") => get(pipelines::list),
        ("post", "/pipelines") => post(pipelines::start),
        ("get", "/pipelines/{id}") => get(pipelines::show),
        ("post", "/pipelines/{id}/abort") => post(pipelines::abort),
        ("post", "/pipelines/{id}/steps/{step}/approve") => post(pipelines::approve),
        ("post", "/pipelines/{id}/steps/{step}/reject") => post(pipelines::reject),
        ("post", "/pipelines/{id}/steps/{step}/decide") => post(pipelines::decide),
        _ => return None,
    })
}

pub(super) fn router(engine: &App) -> Router<App> {
    let mut router = Router::new();
    for (method, path) in ROUTES {
        if let Some(handler) = handler(method, path) {
            router = router.route(path, handler);
        }
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(super::unknown_path)
        .layer(middleware::from_fn_with_state(engine.clone(), api_key))
}

/// Whether a request carries the API key.
pub(super) fn has_api_key(engine: &App, headers: &HeaderMap) -> bool {
    headers
        .get("x-api-key")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|key| engine.identity.is_api_key(key))
}

/// What a caller without the API key is told.
pub(super) const NO_API_KEY: &str =
    "Send the API key as x-api-key; the manager printed it on its first start, and --api-key sets another.";

async fn api_key(State(engine): State<App>, request: Request, next: Next) -> Response {
    // What can be done here is no secret.
    let open = request.uri().path().ends_with("/openapi.json");
    if open || has_api_key(&engine, request.headers()) {
        next.run(request).await
    } else {
        ApiRefusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", NO_API_KEY).into_response()
    }
}

async fn wrong_method() -> ApiRefusal {
    ApiRefusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "This path does not take this method; see /api/v1/openapi.json.",
    )
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn delegates(State(engine): State<App>) -> Json<DelegateList> {
    Json(DelegateList {
        delegates: engine.delegates(),
    })
}

async fn list_tokens(State(engine): State<App>) -> Json<TokenList> {
    Json(TokenList {
        tokens: engine.tokens().iter().map(|row| token_view(row, false)).collect(),
    })
}

async fn create_token(
    State(engine): State<App>,
    body: Result<Read, BodyError>,
) -> Result<(StatusCode, Json<TokenView>), ApiRefusal> {
    let asked: CreateToken = body?.json()?;
    let revoke_after = asked.revoke_after.map(jiff::Timestamp::as_millisecond);
    if revoke_after.is_some_and(|at| at <= crate::manager::engine::now()) {
        return Err(ApiRefusal::field(
            "revoke_after",
            "revoke_after lies in the past; give a later time, or none.",
        ));
    }
    let row = engine.create_token(&asked.name, revoke_after).await?;
    tracing::info!(token = row.name, "delegate token created");
    Ok((StatusCode::CREATED, Json(token_view(&row, true))))
}

async fn show_token(
    State(engine): State<App>,
    Path(name): Path<String>,
) -> Result<Json<TokenView>, ApiRefusal> {
    let row = engine.tokens().into_iter().find(|row| row.name == name);
    let row = row.ok_or(crate::manager::engine::EngineError::Token(
        crate::manager::tokens::TokenChangeError::Unknown(name),
    ))?;
    Ok(Json(token_view(&row, true)))
}

async fn revoke_token(
    State(engine): State<App>,
    Path(name): Path<String>,
) -> Result<Json<TokenView>, ApiRefusal> {
    let row = engine.revoke_token(&name).await?;
    tracing::info!(token = row.name, "delegate token revoked");
    Ok(Json(token_view(&row, false)))
}

async fn delete_token(State(engine): State<App>, Path(name): Path<String>) -> Result<StatusCode, ApiRefusal> {
    let row = engine.delete_token(&name).await?;
    tracing::info!(token = row.name, "delegate token deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn token_view(row: &TokenRow, with_value: bool) -> TokenView {
    TokenView {
        name: row.name.clone(),
        status: token_status(row).to_owned(),
        created_at: timestamp(row.created_at),
        revoked_at: row.revoked_at.map(timestamp),
        revoke_after: row.revoke_after.map(timestamp),
        value: with_value.then(|| encoded(row)).flatten(),
    }
}

/// `ACTIVE` or `REVOKED`.
pub(super) fn token_status(row: &TokenRow) -> &'static str {
    if row.revoked_at.is_some() {
        "REVOKED"
    } else {
        "ACTIVE"
    }
}

/// The secret in the form the user interface shows.
pub(super) fn encoded(row: &TokenRow) -> Option<String> {
    let token: crate::config::DelegateToken = row.secret.expose().parse().ok()?;
    Some(token.encoded().expose().to_owned())
}

/// Query parameters, with unknown ones refused by name.
pub(super) struct Params(pub(super) Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        ))
    }
}

impl Params {
    /// One parameter, taken out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Refuses what nobody took.
    pub(super) fn done(self) -> Result<(), ApiRefusal> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("There is no parameter {name:?} here; see /api/v1/openapi.json.");
                Err(ApiRefusal::field(name, message))
            }
        }
    }
}

/// An object, or what it is instead.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_names_every_route_and_no_other() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut named = BTreeSet::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            for method in methods
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "parameters")
            {
                named.insert((method.clone(), path.clone()));
            }
        }
        let routes: BTreeSet<_> = ROUTES
            .iter()
            .map(|(m, p)| ((*m).to_owned(), format!("/api/v1{p}")))
            .collect();
        assert_eq!(named, routes);
    }

    #[test]
    fn every_route_has_a_handler() {
        for (method, path) in ROUTES {
            assert!(handler(method, path).is_some(), "{method} {path}");
        }
    }

    #[test]
    fn every_reference_of_the_description_leads_somewhere() {
        fn check(value: &Value, whole: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        assert!(whole.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                    }
                    map.values().for_each(|value| check(value, whole));
                }
                Value::Array(list) => list.iter().for_each(|value| check(value, whole)),
                _ => {}
            }
        }
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        check(&described, &described);
    }
}
