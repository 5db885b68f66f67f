//! What the provider block gives to every resource. Nothing in it has been contacted.

use delegate_core::Secret;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::framework::diagnostics::Diagnostics;
use crate::framework::schema::{Attribute, Object, Rule, Schema, Validator};
use crate::framework::value::{Type, Value};
use crate::install::cluster::{Connections, Exec, Target};
use crate::install::docker;
use crate::install::helm::{Helm, HelmError};
use crate::install::ssh;
use crate::platform::{self, Access, Api, PlatformError};

/// The provider's settings.
#[derive(Default)]
pub struct ProviderData {
    /// Manager URL for delegates that name none.
    pub endpoint: Option<String>,
    /// Account for delegates that name none.
    pub account_id: Option<String>,
    /// Key for the manager's platform API.
    pub platform_api_key: Option<Secret>,
    /// Cluster for delegates that name none.
    pub kubernetes: Target,
    /// Engine for delegates that name none.
    pub docker: docker::Target,
    /// The `helm` program, a name or a path.
    pub helm_binary: Option<String>,
    /// Connections of this process to clusters.
    pub connections: Connections,
    /// The same program, once it was found and has said its version.
    helm: OnceCell<Helm>,
    /// Which delegates this process was asked for.
    pub claims: Claims,
    /// Connections to the platform API.
    pub platform: platform::Connections,
    /// Arguments that the platform API needs and that are known only after apply.
    pub unknown: Vec<&'static str>,
    /// Connections of this process to other machines.
    pub ssh: ssh::Connections,
    /// Docker engines of this process.
    pub engines: docker::Engines,
}

/// The provider block, with what is known of it.
#[derive(Deserialize)]
struct Block {
    endpoint: Option<String>,
    account_id: Option<String>,
    platform_api_key: Option<Secret>,
    kubernetes: Option<KubernetesBlock>,
    docker: Option<DockerBlock>,
    helm_binary: Option<String>,
}

#[derive(Deserialize)]
struct KubernetesBlock {
    config_path: Option<String>,
    config_paths: Option<Vec<String>>,
    config_content: Option<Secret>,
    config_context: Option<String>,
    host: Option<String>,
    token: Option<Secret>,
    client_certificate: Option<String>,
    client_key: Option<Secret>,
    cluster_ca_certificate: Option<String>,
    insecure: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
    exec: Option<Exec>,
}

impl From<KubernetesBlock> for Target {
    fn from(block: KubernetesBlock) -> Self {
        Self {
            config_path: block.config_path,
            config_paths: block.config_paths,
            config_content: block.config_content,
            config_context: block.config_context,
            host: block.host,
            token: block.token,
            client_certificate: block.client_certificate,
            client_key: block.client_key,
            cluster_ca_certificate: block.cluster_ca_certificate,
            insecure: block.insecure,
            tls_server_name: block.tls_server_name,
            proxy_url: block.proxy_url,
            exec: block.exec,
        }
    }
}

#[derive(Deserialize)]
struct DockerBlock {
    host: Option<String>,
    cert_path: Option<String>,
    ssh_opts: Option<Vec<String>>,
    registries: Option<Vec<docker::Login>>,
}

impl From<DockerBlock> for docker::Target {
    fn from(block: DockerBlock) -> Self {
        Self {
            host: block.host,
            cert_path: block.cert_path,
            ssh_opts: block.ssh_opts.unwrap_or_default(),
            registries: block.registries.unwrap_or_default(),
        }
    }
}

impl ProviderData {
    /// Reads the provider block; the environment fills in what is absent. Unknown values count as absent: the framework
    /// says so to whoever would use them.
    ///
    /// # Errors
    /// When a value has an unsuitable form.
    pub fn of(config: &Value) -> Result<Self, Diagnostics> {
        let block: Block = config.clone().unknown_as_null().model()?;
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            endpoint: block.endpoint.or_else(|| variable("HARNESS_ENDPOINT")),
            account_id: block.account_id.or_else(|| variable("HARNESS_ACCOUNT_ID")),
            platform_api_key: block
                .platform_api_key
                .or_else(|| variable("HARNESS_PLATFORM_API_KEY").map(Secret::new)),
            kubernetes: block.kubernetes.map(Target::from).unwrap_or_default(),
            docker: block.docker.map(docker::Target::from).unwrap_or_default(),
            helm_binary: block.helm_binary,
            connections: Connections::default(),
            helm: OnceCell::new(),
            claims: Claims::default(),
            platform: platform::Connections::default(),
            unknown: ["endpoint", "account_id", "platform_api_key"]
                .into_iter()
                .filter(|name| config.named(name).is_unknown())
                .collect(),
            ssh: ssh::Connections::default(),
            engines: docker::Engines::default(),
        })
    }

    /// The `helm` program, looked for the first time it is needed.
    ///
    /// # Errors
    /// When there is none that can be used.
    pub async fn helm(&self, stop: &CancellationToken) -> Result<&Helm, HelmError> {
        self.helm
            .get_or_try_init(|| Helm::find(self.helm_binary.as_deref(), stop))
            .await
    }

    /// The platform API of an account, the provider's own when none is named. Nothing is contacted.
    ///
    /// # Errors
    /// What is missing, unknown or malformed, with its remedy.
    pub fn api(&self, account: Option<&str>, stop: &CancellationToken) -> Result<Api, PlatformError> {
        let needed = |name: &&&str| account.is_none() || **name != "account_id";
        let unknown: Vec<_> = self.unknown.iter().filter(needed).copied().collect();
        let access = Access {
            endpoint: self.endpoint.as_deref(),
            account_id: account.or(self.account_id.as_deref()),
            api_key: self.platform_api_key.as_ref(),
            unknown: &unknown,
        };
        self.platform.api(access, stop)
    }
}

/// The schema of the provider block.
pub(crate) fn schema() -> Schema {
    let secret = || Attribute::string().sensitive();
    let exec = Object::new()
        .attribute(
            "api_version",
            Attribute::string()
                .required()
                .describe("For example `client.authentication.k8s.io/v1`."),
        )
        .attribute("command", Attribute::string().required().describe("The program."))
        .attribute("args", Attribute::list(Type::String).describe("Its arguments."))
        .attribute(
            "env",
            Attribute::map(Type::String).describe("Further environment variables of it."),
        );
    let kubernetes = Object::new()
        .attribute(
            "config_path",
            Attribute::string().describe("A kubeconfig file; also `KUBE_CONFIG_PATH`."),
        )
        .attribute(
            "config_paths",
            Attribute::list(Type::String)
                .describe("Several kubeconfig files, merged as kubectl does; also `KUBE_CONFIG_PATHS`."),
        )
        .attribute("config_content", secret().describe("The text of a kubeconfig."))
        .attribute(
            "config_context",
            Attribute::string().describe("Context to use; also `KUBE_CTX`."),
        )
        .attribute("host", Attribute::string().describe("Address of the API server."))
        .attribute("token", secret().describe("Bearer token."))
        .attribute(
            "client_certificate",
            Attribute::string().describe("PEM of the client certificate."),
        )
        .attribute("client_key", secret().describe("PEM of its key."))
        .attribute(
            "cluster_ca_certificate",
            Attribute::string().describe("PEM of the API server's authority."),
        )
        .attribute(
            "insecure",
            Attribute::bool().describe("Do not check the API server's certificate."),
        )
        .attribute(
            "tls_server_name",
            Attribute::string().describe("Name that the API server's certificate must carry."),
        )
        .attribute(
            "proxy_url",
            Attribute::string().describe("Proxy towards the API server."),
        )
        .attribute(
            "exec",
            Attribute::object(exec).describe("Program that gives credentials."),
        )
        .rule(Rule::at_most_one_of([
            "config_path",
            "config_paths",
            "config_content",
        ]));
    let login = Object::new()
        .attribute(
            "address",
            Attribute::string()
                .required()
                .describe("Host of the registry, with its port if it has one; `docker.io` for Docker Hub."),
        )
        .attribute("username", Attribute::string().required().describe("User."))
        .attribute("password", secret().required().describe("Password or token."));
    let docker = Object::new()
        .attribute(
            "host",
            Attribute::string()
                .validate(Validator::text(is_engine))
                .describe("`unix://…`, `tcp://host:port` or `ssh://user@host`; also `DOCKER_HOST`."),
        )
        .attribute(
            "cert_path",
            Attribute::string()
                .describe("Folder with `ca.pem`, `cert.pem` and `key.pem`; also `DOCKER_CERT_PATH` with `DOCKER_TLS_VERIFY`."),
        )
        .attribute(
            "ssh_opts",
            Attribute::list(Type::String)
                .describe("Further arguments of the `ssh` program, for example `[\"-o\", \"IdentityFile=~/.ssh/build\"]`."),
        )
        .attribute(
            "registries",
            Attribute::object_list(login)
                .describe("Logins of registries. Those of `docker login` are used for the others."),
        );
    Schema::new(0)
        .describe("Installs Harness-compatible delegates and proves that they work. Nothing is contacted before it is needed.")
        .attribute(
            "endpoint",
            Attribute::string().describe(
                "URL of the manager, for delegates that do not name their own and for the platform API; also `HARNESS_ENDPOINT`.",
            ),
        )
        .attribute(
            "account_id",
            Attribute::string().describe("Account, for delegates that do not name their own; also `HARNESS_ACCOUNT_ID`."),
        )
        .attribute(
            "platform_api_key",
            secret().describe("Key for the manager's platform API; also `HARNESS_PLATFORM_API_KEY`. Delegate tokens and lists of delegates need it, \
                 installing does not."),
        )
        .attribute("kubernetes", Attribute::object(kubernetes).describe("The cluster, for delegates that do not name their own."))
        .attribute("docker", Attribute::object(docker).describe("The Docker engine, for delegates that do not name their own."))
        .attribute("helm_binary", Attribute::string().describe("The `helm` program, a name or a path; `helm` when absent."))
}

/// Whether a text is an address of a Docker engine.
pub(crate) fn is_engine(text: &str) -> Result<(), String> {
    if docker::is_host(text) {
        Ok(())
    } else {
        Err("Must be unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_obeys_terraforms_rules() {
        assert_eq!(super::schema().check("harness"), Vec::<String>::new());
    }
}
