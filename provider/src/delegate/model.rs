//! `harness_delegate` as Rust sees it: one field an attribute, by the attribute's name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::framework::value::Field;
use crate::secret::StateSecret;

/// The resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    pub account_id: Option<String>,
    pub manager_url: Option<String>,
    pub token: Option<StateSecret>,
    pub token_wo: Option<StateSecret>,
    pub token_wo_version: Option<i64>,
    pub token_secret: Option<TokenSecret>,
    pub token_file: Option<String>,
    pub tags: Option<BTreeSet<String>>,
    pub description: Option<String>,
    pub replicas: Option<u32>,
    pub image: Option<String>,
    pub permissions: Option<String>,
    pub resources: Option<Resources>,
    pub env: Option<BTreeMap<String, String>>,
    pub init_script: Option<String>,
    pub log_service_url: Option<String>,
    pub poll_for_tasks: Option<bool>,
    pub proxy: Option<Proxy>,
    pub mtls: Option<Mtls>,
    pub ca_bundle: Option<CaBundle>,
    pub helm: Option<Helm>,
    pub manifest: Option<Manifest>,
    pub docker: Option<Docker>,
    pub host: Option<Host>,
    pub kubernetes: Option<Kubernetes>,
    pub adopt: Option<bool>,
    pub wait: Option<Wait>,
    pub timeouts: Option<Timeouts>,
    pub id: Field<String>,
    pub target_id: Field<String>,
    pub connected: Field<bool>,
    pub ready_replicas: Field<u32>,
    pub version: Field<String>,
    pub image_digest: Field<String>,
    pub drift: Field<Vec<String>>,
}

/// A Secret of the owner that holds the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSecret {
    pub name: String,
    pub key: Option<String>,
}

/// Kubernetes resources of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, String>>,
}

/// A forward proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the name users know")]
pub struct Proxy {
    pub host: String,
    pub port: u16,
    pub scheme: Option<String>,
    pub user: Option<String>,
    pub password_wo: Option<StateSecret>,
    pub no_proxy: Option<Vec<String>>,
}

/// Mutual TLS towards the manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mtls {
    pub secret_name: Option<String>,
    pub certificate_file: Option<String>,
    pub key_file: Option<String>,
}

/// Extra certificate authorities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaBundle {
    pub secret_name: Option<String>,
    pub directory: Option<String>,
}

/// As a Helm release.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Helm {
    pub namespace: Option<String>,
    pub create_namespace: Option<bool>,
    pub release: Option<String>,
    pub chart: Option<Chart>,
    pub values: Option<Vec<String>>,
    pub atomic: Option<bool>,
    pub max_history: Option<u32>,
    pub take_ownership: Option<bool>,
    pub upgrade_install: Option<bool>,
}

/// Another chart than the embedded one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Chart {
    pub repository: Option<String>,
    pub repository_username: Option<String>,
    pub repository_password_wo: Option<StateSecret>,
    pub repository_ca_file: Option<String>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub path: Option<String>,
}

/// As plain objects of a cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Manifest {
    pub namespace: Option<String>,
    pub create_namespace: Option<bool>,
    pub force_conflicts: Option<bool>,
}

/// As a container of a Docker engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Docker {
    pub host: Option<String>,
    pub cert_path: Option<String>,
    pub ssh_opts: Option<Vec<String>>,
    pub container: Option<String>,
    pub binary: Option<String>,
    pub registry: Option<Registry>,
    pub token_as: Option<String>,
    pub network: Option<String>,
    pub networks: Option<BTreeSet<String>>,
    pub extra_hosts: Option<BTreeSet<String>>,
    pub volumes: Option<BTreeSet<String>>,
    pub cpus: Option<f64>,
    pub memory: Option<String>,
    pub restart: Option<String>,
    pub capabilities: Option<Capabilities>,
    pub read_only: Option<bool>,
    pub init: Option<bool>,
    pub user: Option<String>,
    pub health: Option<Health>,
}

/// Login of an image's registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registry {
    pub username: String,
    pub password_wo: Option<StateSecret>,
}

/// Linux capabilities, against the engine's default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Capabilities {
    pub add: Option<BTreeSet<String>>,
    pub drop: Option<BTreeSet<String>>,
}

/// How the engine looks after a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Health {
    pub disabled: Option<bool>,
    pub command: Option<String>,
    pub interval: Option<String>,
    pub timeout: Option<String>,
    pub start_period: Option<String>,
    pub retries: Option<i64>,
}

/// As a service of this machine, or of another one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Host {
    pub binary: Option<String>,
    pub directory: Option<String>,
    pub service: Option<String>,
    pub user: Option<String>,
    pub ssh: Option<Ssh>,
}

/// How to get to another machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ssh {
    pub host: String,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity_file: Option<String>,
    pub known_hosts_file: Option<String>,
    pub connect_timeout: Option<String>,
    pub sudo: Option<bool>,
}

/// The cluster, when it is not the provider's. Holds no credentials: those would stay in the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names users know from other providers"
)]
pub struct Kubernetes {
    pub config_path: Option<String>,
    pub config_paths: Option<Vec<String>>,
    pub config_context: Option<String>,
}

/// How far an apply waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wait {
    pub until: Option<String>,
    pub timeout: Option<String>,
}

/// How long an operation may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timeouts {
    pub create: Option<String>,
    pub update: Option<String>,
    pub delete: Option<String>,
}

impl Model {
    /// A state that says where a delegate is and nothing else, for an import.
    pub fn located(name: String, id: Field<String>) -> Self {
        Self {
            name,
            account_id: None,
            manager_url: None,
            token: None,
            token_wo: None,
            token_wo_version: None,
            token_secret: None,
            token_file: None,
            tags: None,
            description: None,
            replicas: None,
            image: None,
            permissions: None,
            resources: None,
            env: None,
            init_script: None,
            log_service_url: None,
            poll_for_tasks: None,
            proxy: None,
            mtls: None,
            ca_bundle: None,
            helm: None,
            manifest: None,
            docker: None,
            host: None,
            kubernetes: None,
            adopt: None,
            wait: None,
            timeouts: None,
            id,
            target_id: Field::Null,
            connected: Field::Null,
            ready_replicas: Field::Null,
            version: Field::Null,
            image_digest: Field::Null,
            drift: Field::Null,
        }
    }
}
