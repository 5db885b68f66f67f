//! A connection to an engine: made when it is first needed, shared by everything that names the same target.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::OnceCell;

use super::DockerError;
use super::connector::Connector;
use super::endpoint::{Endpoint, Target};
use super::registry::Login;
use crate::install::cluster::chain;

/// Longest wait for the head of an answer to any one request that does not wait for something by itself.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// An engine.
#[derive(Clone)]
pub struct Engine {
    pub(super) docker: Docker,
    connector: Connector,
    endpoint: Endpoint,
    logins: Arc<Vec<Login>>,
    id: Arc<OnceCell<String>>,
}

impl Engine {
    fn new(target: &Target, endpoint: Endpoint) -> Result<Self, DockerError> {
        let connector = Connector::new(endpoint.clone());
        let client = Client::builder(TokioExecutor::new()).build(connector.clone());
        let transport = move |request: BollardRequest| {
            let answer = client.request(request);
            async move { answer.await.map_err(bollard::errors::Error::from) }
        };
        // The connector knows where to; the address in the requests is only what HTTP wants to see.
        let docker = Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            REQUEST_LIMIT.as_secs(),
            API_DEFAULT_VERSION,
        )
        .map_err(|error| DockerError::Target(chain(&error)))?;
        Ok(Self {
            docker,
            connector,
            endpoint,
            logins: Arc::new(target.registries.clone()),
            id: Arc::default(),
        })
    }

    /// Address of the engine.
    pub fn address(&self) -> String {
        self.endpoint.to_string()
    }

    /// Name of the engine in an import id.
    pub fn place(&self) -> String {
        self.endpoint.place()
    }

    /// Logins of registries that the provider was given.
    pub(super) fn logins(&self) -> &[Login] {
        &self.logins
    }

    /// Identity of the engine. Asked once, with the version of the API that it speaks.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn id(&self) -> Result<String, DockerError> {
        let ask = async || {
            let negotiated = self.docker.clone().negotiate_version().await;
            negotiated.map_err(|error| self.told("tell its version", error))?;
            let info = self.docker.info().await;
            let info = info.map_err(|error| self.told("describe itself", error))?;
            info.id
                .filter(|id| !id.is_empty())
                .ok_or_else(|| DockerError::Refused {
                    engine: self.address(),
                    action: "tell its id".to_owned(),
                    message: "it has none".to_owned(),
                    code: 0,
                })
        };
        self.id.get_or_try_init(ask).await.cloned()
    }

    /// An error with the engine and what was asked of it.
    pub(super) fn told(&self, action: &str, error: bollard::errors::Error) -> DockerError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => DockerError::Refused {
                engine: self.address(),
                action: action.to_owned(),
                message: message.trim().to_owned(),
                code: status_code,
            },
            Error::DockerStreamError { error } => DockerError::Refused {
                engine: self.address(),
                action: action.to_owned(),
                message: error,
                code: 0,
            },
            other => {
                let complaint = self.connector.complaint();
                let said = if complaint.is_empty() {
                    String::new()
                } else {
                    format!("; ssh says: {complaint}")
                };
                let reason = match other {
                    Error::RequestTimeoutError => format!(
                        "no answer within {} s to: {action}",
                        self.docker.timeout().as_secs()
                    ),
                    other => root_cause(&other),
                };
                DockerError::Unreachable {
                    engine: self.address(),
                    reason: format!("{reason}{said}"),
                }
            }
        }
    }
}

/// The innermost error, which is what happened; those around it name the layers of the client.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The engines of one provider process, by target.
#[derive(Default)]
pub struct Engines {
    open: Mutex<HashMap<Endpoint, Engine>>,
    pub(super) images: super::build::Images,
}

impl Engines {
    /// The engine of a target. Nothing is sent: an unreachable engine shows only at the first request.
    ///
    /// # Errors
    /// When the target is not usable.
    pub fn to(&self, target: &Target) -> Result<Engine, DockerError> {
        let endpoint = Endpoint::of(target)?;
        let poisoned = |_| DockerError::Target("an earlier connection failed badly".to_owned());
        let mut open = self.open.lock().map_err(poisoned)?;
        if let Some(engine) = open.get(&endpoint) {
            return Ok(engine.clone());
        }
        let engine = Engine::new(target, endpoint.clone())?;
        open.insert(endpoint, engine.clone());
        Ok(engine)
    }
}
