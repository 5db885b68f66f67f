//! Paths of the product's platform API that concern delegates: tokens and lists, for holders of the API key.

use std::collections::BTreeMap;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::api::{NO_API_KEY, encoded, has_api_key, token_status};
use super::body::{BodyError, Read};
use super::refusal::Refusal;
use crate::manager::engine::Engine;
use crate::manager::queue::FORGET_AFTER_MS;
use crate::manager::store::TokenRow;
use crate::protocol::api::DelegateView;
use crate::protocol::platform::{
    DelegateFilter, DelegateListing, DelegateReplica, LATEST_VERSION, LIST_DELEGATES, SupportedVersions,
    TOKENS, TokenDetails,
};
use crate::protocol::wire::Envelope;

pub(super) fn router(engine: &App) -> Router<App> {
    Router::new()
        .route(
            TOKENS,
            get(tokens)
                .post(create_token)
                .put(revoke_token)
                .delete(delete_token),
        )
        .route("/delegate-token-ng/delegate-groups", get(groups_of_token))
        .route(LIST_DELEGATES, post(list_delegates))
        .route(LATEST_VERSION, get(latest_version))
        .layer(middleware::from_fn_with_state(engine.clone(), api_key))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Params {
    account_identifier: String,
    token_name: Option<String>,
    delegate_token_name: Option<String>,
    name: Option<String>,
    status: Option<String>,
    revoke_after: Option<i64>,
    org_identifier: Option<String>,
    project_identifier: Option<String>,
}

async fn api_key(
    State(engine): State<App>,
    Query(params): Query<Params>,
    request: Request,
    next: Next,
) -> Response {
    if !has_api_key(&engine, request.headers()) {
        return Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", NO_API_KEY).into_response();
    }
    if params.account_identifier != engine.identity.account.as_str() {
        let message = "accountIdentifier does not name the account of this manager.";
        return Refusal::new(StatusCode::FORBIDDEN, "INVALID_ACCOUNT", message).into_response();
    }
    // A token made for a project must not quietly be one of the whole account.
    for (value, parameter) in [
        (params.org_identifier, "orgIdentifier"),
        (params.project_identifier, "projectIdentifier"),
    ] {
        if value.is_some_and(|value| !value.is_empty()) {
            let message = format!(
                "This manager has one account without organizations and projects; leave {parameter} out."
            );
            return Refusal::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message).into_response();
        }
    }
    next.run(request).await
}

/// A parameter that has to be there.
fn required(value: Option<String>, name: &str) -> Result<String, Refusal> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            format!("The parameter {name} is missing."),
        )
    })
}

/// With a name, also the token's value.
async fn tokens(
    State(engine): State<App>,
    Query(params): Query<Params>,
) -> Json<Envelope<Vec<TokenDetails>>> {
    let asked = |row: &TokenRow| {
        params.name.as_ref().is_none_or(|name| *name == row.name)
            && params
                .status
                .as_ref()
                .is_none_or(|status| status == token_status(row))
    };
    let rows = engine.tokens().into_iter().filter(asked);
    let with_value = params.name.is_some();
    Json(Envelope::of(
        rows.map(|row| details(&engine, &row, with_value)).collect(),
    ))
}

async fn create_token(
    State(engine): State<App>,
    Query(params): Query<Params>,
) -> Result<Json<Envelope<TokenDetails>>, Refusal> {
    let name = required(params.token_name, "tokenName")?;
    let row = engine.create_token(&name, params.revoke_after).await?;
    tracing::info!(token = row.name, "delegate token created");
    Ok(Json(Envelope::of(details(&engine, &row, true))))
}

async fn revoke_token(
    State(engine): State<App>,
    Query(params): Query<Params>,
) -> Result<Json<Envelope<TokenDetails>>, Refusal> {
    let name = required(params.token_name, "tokenName")?;
    let row = engine.revoke_token(&name).await?;
    tracing::info!(token = row.name, "delegate token revoked");
    Ok(Json(Envelope::of(details(&engine, &row, false))))
}

async fn delete_token(
    State(engine): State<App>,
    Query(params): Query<Params>,
) -> Result<Json<Envelope<TokenDetails>>, Refusal> {
    let name = required(params.token_name, "tokenName")?;
    let row = engine.delete_token(&name).await?;
    tracing::info!(token = row.name, "delegate token deleted");
    Ok(Json(Envelope::of(details(&engine, &row, false))))
}

fn details(engine: &Engine, row: &TokenRow, with_value: bool) -> TokenDetails {
    TokenDetails {
        uuid: row.uuid.clone(),
        account_id: engine.identity.account.to_string(),
        name: row.name.clone(),
        created_at: row.created_at,
        status: token_status(row).to_owned(),
        value: with_value.then(|| encoded(row)).flatten(),
        revoke_after: row.revoke_after,
    }
}

async fn groups_of_token(
    State(engine): State<App>,
    Query(params): Query<Params>,
) -> Result<Json<Envelope<Value>>, Refusal> {
    let token = required(
        params.delegate_token_name.or(params.token_name),
        "delegateTokenName",
    )?;
    let of_token = |delegate: &DelegateView| delegate.token_name == token;
    let groups: Vec<Value> = groups(engine.delegates().into_iter().filter(of_token))
        .into_iter()
        .map(|(name, replicas)| {
            json!({
                "groupId": name,
                "delegateGroupIdentifier": name,
                "groupName": name,
                "delegateType": replicas[0].delegate_type,
                "delegateDescription": replicas[0].description,
                "groupCustomSelectors": replicas[0].tags,
                "lastHeartBeat": last_heartbeat(&replicas),
                "activelyConnected": is_connected(&replicas),
                "connectivityStatus": if is_connected(&replicas) { "connected" } else { "disconnected" },
                "grpcActive": false,
                "tokenActive": replicas.iter().any(|replica| replica.token_active),
                "delegateInstanceDetails": replicas.iter().map(|replica| json!({
                    "uuid": replica.id,
                    "lastHeartbeat": replica.last_seen_at.as_millisecond(),
                    "activelyConnected": replica.connected,
                    "hostName": replica.host_name,
                    "tokenActive": replica.token_active,
                    "connections": [{
                        "uuid": replica.id,
                        "version": replica.version,
                        "lastHeartbeat": replica.last_seen_at.as_millisecond(),
                    }],
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(Json(Envelope::of(json!({ "delegateGroupDetails": groups }))))
}

/// Filters that speak of what is not here, such as expired versions, are taken and ignored.
async fn list_delegates(
    State(engine): State<App>,
    body: Result<Read, BodyError>,
) -> Result<Json<Envelope<Vec<DelegateListing>>>, Refusal> {
    let body = body?;
    let filter: DelegateFilter = if body.0.is_empty() {
        DelegateFilter::any()
    } else {
        body.json()?
    };
    let name = filter
        .delegate_name
        .or(filter.delegate_group_identifier)
        .filter(|name| !name.is_empty());
    let asked = |delegate: &DelegateView| {
        name.as_ref().is_none_or(|name| *name == delegate.name)
            && filter
                .host_name
                .as_ref()
                .is_none_or(|host| host.is_empty() || *host == delegate.host_name)
            && filter.delegate_tags.iter().all(|tag| delegate.tags.contains(tag))
    };
    let of_status = |replicas: &Vec<DelegateView>| match filter.status.as_deref() {
        Some("CONNECTED") => is_connected(replicas),
        Some("DISCONNECTED") => !is_connected(replicas),
        _ => true,
    };
    let listed = groups(engine.delegates().into_iter().filter(asked))
        .into_iter()
        .filter(|(_, replicas)| of_status(replicas))
        .map(|(name, replicas)| DelegateListing {
            delegate_type: replicas[0].delegate_type.clone(),
            name,
            description: replicas[0].description.clone(),
            tags: replicas[0].tags.clone(),
            last_heart_beat: last_heartbeat(&replicas),
            connected: is_connected(&replicas),
            delegate_replicas: replicas.iter().map(replica).collect(),
            auto_upgrade: "OFF".to_owned(),
            ..DelegateListing::default()
        })
        .collect();
    Ok(Json(Envelope::of(listed)))
}

fn replica(replica: &DelegateView) -> DelegateReplica {
    let last_heartbeat = replica.last_seen_at.as_millisecond();
    DelegateReplica {
        uuid: replica.id.clone(),
        last_heartbeat,
        connected: replica.connected,
        host_name: replica.host_name.clone(),
        version: replica.version.clone(),
        expiring_at: last_heartbeat + FORGET_AFTER_MS,
    }
}

async fn latest_version() -> Json<Envelope<SupportedVersions>> {
    Json(Envelope::of(SupportedVersions {
        latest_supported_version: crate::VERSION.to_owned(),
        latest_supported_minimal_version: crate::VERSION.to_owned(),
    }))
}

/// Delegates of one name are replicas of one delegate; no group is empty.
fn groups(delegates: impl Iterator<Item = DelegateView>) -> BTreeMap<String, Vec<DelegateView>> {
    let mut groups: BTreeMap<String, Vec<DelegateView>> = BTreeMap::new();
    for delegate in delegates {
        groups.entry(delegate.name.clone()).or_default().push(delegate);
    }
    groups
}

fn is_connected(replicas: &[DelegateView]) -> bool {
    replicas.iter().any(|replica| replica.connected)
}

fn last_heartbeat(replicas: &[DelegateView]) -> i64 {
    replicas
        .iter()
        .map(|replica| replica.last_seen_at.as_millisecond())
        .max()
        .unwrap_or(0)
}
