//! The manager over HTTP: one router, one folder of paths a file.
//!
//! Delegates come in through [`agents`] and [`log_service`], or [`stream`] for both, holders of the API key through [`api`] and [`platform`].
//! Handlers translate and nothing else; what they may do is in `engine`. Each family has its own shape of error.

mod agents;
mod api;
mod body;
mod log_service;
mod logs;
mod metrics;
mod pipelines;
mod platform;
mod refusal;
mod stream;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;

pub use api::ROUTES as API_ROUTES;

use super::engine::Engine;
use refusal::ApiRefusal;

/// What handlers get.
type App = Arc<Engine>;

/// Every path of the manager.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .nest("/api/v1", api::router(&engine))
        .nest("/ng/api", platform::router(&engine))
        // The same, as the product's gateway has it.
        .nest("/gateway/ng/api", platform::router(&engine))
        .nest("/log-service", log_service::router())
        .merge(agents::router())
        .merge(stream::router(&engine))
        .route("/metrics", get(metrics::show))
        .fallback(unknown_path)
        // Bodies are read by `body`, which has a limit of its own and refuses without reading.
        .layer(DefaultBodyLimit::disable())
        .with_state(engine)
}

async fn unknown_path() -> ApiRefusal {
    ApiRefusal::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "There is nothing at this path; /api/v1/openapi.json lists what there is.",
    )
}
