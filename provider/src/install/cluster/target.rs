//! Which cluster: from arguments to one kubeconfig that our client and every program we run read alike.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::Secret;
use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use serde::Deserialize;

use super::ClusterError;

/// Name of everything in a kubeconfig that is made of single arguments.
const MADE: &str = "terraform";

/// The `kubernetes` argument, of the provider or of one resource.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// A kubeconfig file; `~` is the home folder.
    pub config_path: Option<String>,
    /// Several kubeconfig files, merged as kubectl does.
    pub config_paths: Option<Vec<String>>,
    /// The text of a kubeconfig.
    pub config_content: Option<Secret>,
    /// Context to use; the file's current one when absent.
    pub config_context: Option<String>,
    /// Address of the API server.
    pub host: Option<String>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// PEM of the client certificate.
    pub client_certificate: Option<String>,
    /// PEM of its key.
    pub client_key: Option<Secret>,
    /// PEM of the authority of the API server.
    pub cluster_ca_certificate: Option<String>,
    /// Do not check the server's certificate.
    pub insecure: Option<bool>,
    /// Name the server's certificate must carry.
    pub tls_server_name: Option<String>,
    /// Proxy towards the API server.
    pub proxy_url: Option<String>,
    /// Program that gives credentials.
    pub exec: Option<Exec>,
}

/// A credential program, as in a kubeconfig.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// For example `client.authentication.k8s.io/v1`.
    pub api_version: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Further variables.
    #[serde(default)]
    pub env: Option<std::collections::BTreeMap<String, String>>,
}

impl Target {
    /// One kubeconfig whose current context is the one to use.
    ///
    /// Without any argument, `KUBE_CONFIG_PATH`, `KUBE_CONFIG_PATHS` and `KUBE_CTX` are read, as the Helm and Kubernetes
    /// providers do; then the service account of a pod. `KUBECONFIG` is not, on purpose: what a shell happens to point
    /// at must not receive an installation.
    ///
    /// # Errors
    /// When no cluster is named, a file cannot be read, or the context does not exist.
    pub fn kubeconfig(&self) -> Result<Kubeconfig, ClusterError> {
        let mut config = self.base()?;
        self.override_with_arguments(&mut config)?;
        let context = config.current_context.clone().ok_or_else(|| {
            ClusterError::Target(
                "the kubeconfig has no current context; set kubernetes.config_context".to_owned(),
            )
        })?;
        if !config.contexts.iter().any(|known| known.name == context) {
            let known: Vec<&str> = config.contexts.iter().map(|known| known.name.as_str()).collect();
            return Err(ClusterError::Target(format!(
                "the kubeconfig has no context {context:?}; set kubernetes.config_context to one that it has: {}",
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            )));
        }
        Ok(config)
    }

    /// Address of the API server, when it can be told without asking anybody.
    pub fn address(&self) -> Option<String> {
        let config = self.kubeconfig().ok()?;
        let current = config.current_context.as_ref()?;
        let context = config.contexts.iter().find(|known| known.name == *current)?;
        let cluster = &context.context.as_ref()?.cluster;
        let named = config.clusters.iter().find(|known| known.name == *cluster)?;
        named.cluster.as_ref()?.server.clone()
    }

    fn base(&self) -> Result<Kubeconfig, ClusterError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let paths: Vec<String> = match (&self.config_path, &self.config_paths) {
            (Some(path), _) => vec![path.clone()],
            (None, Some(paths)) => paths.clone(),
            (None, None) if self.config_content.is_some() || self.host.is_some() => Vec::new(),
            (None, None) => variable("KUBE_CONFIG_PATHS")
                .map(|paths| paths.split(':').map(str::to_owned).collect())
                .or_else(|| variable("KUBE_CONFIG_PATH").map(|path| vec![path]))
                .unwrap_or_default(),
        };
        let mut config = match &self.config_content {
            Some(content) => Kubeconfig::from_yaml(content.expose()).map_err(|_| {
                ClusterError::Target("kubernetes.config_content is not a kubeconfig".to_owned())
            })?,
            None => Kubeconfig::default(),
        };
        for path in &paths {
            let path = expand_home(path);
            let next = Kubeconfig::read_from(&path).map_err(|source| {
                ClusterError::Target(format!(
                    "cannot read the kubeconfig {}: {}",
                    path.display(),
                    chain(&source)
                ))
            })?;
            config = config.merge(next).map_err(|source| {
                ClusterError::Target(format!("cannot merge the kubeconfigs: {}", chain(&source)))
            })?;
        }
        if paths.is_empty() && self.config_content.is_none() && self.host.is_none() {
            return in_cluster().ok_or_else(|| {
                ClusterError::Target(
                    "no cluster is named; set kubernetes = { config_path = \"~/.kube/config\", config_context = \"…\" } on the \
                     resource or the provider, or KUBE_CONFIG_PATH in the environment"
                        .to_owned(),
                )
            });
        }
        if let Some(context) = self.config_context.clone().or_else(|| variable("KUBE_CTX")) {
            config.current_context = Some(context);
        }
        Ok(config)
    }

    /// Single arguments win over the files; with `host` alone they are all there is.
    fn override_with_arguments(&self, config: &mut Kubeconfig) -> Result<(), ClusterError> {
        if config.contexts.is_empty() && self.host.is_some() {
            let context = Context {
                cluster: MADE.to_owned(),
                user: Some(MADE.to_owned()),
                ..Context::default()
            };
            config.contexts.push(NamedContext {
                name: MADE.to_owned(),
                context: Some(context),
                ..NamedContext::default()
            });
            config.clusters.push(NamedCluster {
                name: MADE.to_owned(),
                ..NamedCluster::default()
            });
            config.auth_infos.push(NamedAuthInfo {
                name: MADE.to_owned(),
                ..NamedAuthInfo::default()
            });
            config.current_context.get_or_insert_with(|| MADE.to_owned());
        }
        let current = config.current_context.clone();
        let named = config
            .contexts
            .iter()
            .find(|context| Some(&context.name) == current.as_ref());
        let Some(context) = named.and_then(|named| named.context.clone()) else {
            return Ok(());
        };
        if let Some(entry) = config
            .clusters
            .iter_mut()
            .find(|entry| entry.name == context.cluster)
        {
            self.override_cluster(entry.cluster.get_or_insert_default());
        }
        if let Some(entry) = config
            .auth_infos
            .iter_mut()
            .find(|entry| Some(&entry.name) == context.user.as_ref())
        {
            self.override_user(entry.auth_info.get_or_insert_default())?;
        }
        Ok(())
    }

    fn override_cluster(&self, cluster: &mut Cluster) {
        if self.host.is_some() {
            cluster.server.clone_from(&self.host);
        }
        if let Some(pem) = &self.cluster_ca_certificate {
            cluster.certificate_authority_data = Some(BASE64.encode(pem));
            cluster.certificate_authority = None;
        }
        if self.insecure.is_some() {
            cluster.insecure_skip_tls_verify = self.insecure;
        }
        if self.tls_server_name.is_some() {
            cluster.tls_server_name.clone_from(&self.tls_server_name);
        }
        if self.proxy_url.is_some() {
            cluster.proxy_url.clone_from(&self.proxy_url);
        }
    }

    fn override_user(&self, user: &mut AuthInfo) -> Result<(), ClusterError> {
        if self.client_certificate.is_some() != self.client_key.is_some() {
            return Err(ClusterError::Target(
                "kubernetes.client_certificate and kubernetes.client_key go together; set both".to_owned(),
            ));
        }
        if let Some(token) = &self.token {
            *user = AuthInfo {
                token: Some(token.expose().to_owned().into()),
                ..AuthInfo::default()
            };
        }
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            user.client_certificate_data = Some(BASE64.encode(certificate));
            user.client_key_data = Some(BASE64.encode(key.expose()).into());
        }
        if let Some(exec) = &self.exec {
            let pair = |(name, value): (&String, &String)| {
                [
                    ("name".to_owned(), name.clone()),
                    ("value".to_owned(), value.clone()),
                ]
                .into()
            };
            user.exec = Some(ExecConfig {
                api_version: Some(exec.api_version.clone()),
                command: Some(exec.command.clone()),
                args: exec.args.clone(),
                env: exec.env.as_ref().map(|env| env.iter().map(pair).collect()),
                // Nobody sits at Terraform's provider to answer.
                interactive_mode: Some(ExecInteractiveMode::Never),
                ..ExecConfig::default()
            });
        }
        Ok(())
    }
}

/// The kubeconfig of a pod's own service account, for a Terraform that runs in the cluster.
fn in_cluster() -> Option<Kubeconfig> {
    const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let host = std::env::var("KUBERNETES_SERVICE_HOST").ok()?;
    let port = std::env::var("KUBERNETES_SERVICE_PORT").ok()?;
    let token = Path::new(ACCOUNT).join("token");
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let context = Context {
        cluster: MADE.to_owned(),
        user: Some(MADE.to_owned()),
        ..Context::default()
    };
    token.exists().then(|| Kubeconfig {
        clusters: vec![NamedCluster {
            name: MADE.to_owned(),
            cluster: Some(Cluster {
                server: Some(format!("https://{host}:{port}")),
                certificate_authority: Some(format!("{ACCOUNT}/ca.crt")),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: MADE.to_owned(),
            auth_info: Some(AuthInfo {
                token_file: Some(token.display().to_string()),
                ..AuthInfo::default()
            }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: MADE.to_owned(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(MADE.to_owned()),
        ..Kubeconfig::default()
    })
}

/// `~` and `~/…` are the home folder.
pub fn expand_home(path: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CONTEXTS: &str = "
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: c, cluster: {server: 'https://one:6443'}}]
users: [{name: u, user: {token: from-file}}]
contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: c, user: u}}]
";

    #[test]
    fn single_arguments_win_over_the_file() {
        let target = Target {
            config_content: Some(Secret::new(TWO_CONTEXTS)),
            config_context: Some("b".into()),
            host: Some("https://two:6443".into()),
            token: Some(Secret::new("given")),
            insecure: Some(true),
            ..Target::default()
        };
        let config = target.kubeconfig().unwrap();
        assert_eq!(config.current_context.as_deref(), Some("b"));
        let cluster = config.clusters[0].cluster.clone().unwrap();
        assert_eq!(
            (cluster.server.as_deref(), cluster.insecure_skip_tls_verify),
            (Some("https://two:6443"), Some(true))
        );
        let yaml = serde_saphyr::to_string(&config).unwrap();
        assert!(yaml.contains("given") && !yaml.contains("from-file"));
    }

    #[test]
    fn a_context_that_is_not_there_is_named_with_those_that_are() {
        let target = Target {
            config_content: Some(Secret::new(TWO_CONTEXTS)),
            config_context: Some("prod".into()),
            ..Target::default()
        };
        let error = target.kubeconfig().unwrap_err().to_string();
        assert!(
            error.contains("no context \"prod\"; set kubernetes.config_context to one that it has: a, b"),
            "{error}"
        );
    }

    #[test]
    fn a_host_alone_makes_a_kubeconfig() {
        let target = Target {
            host: Some("https://x".into()),
            token: Some(Secret::new("t")),
            ..Target::default()
        };
        let config = target.kubeconfig().unwrap();
        assert_eq!(config.current_context.as_deref(), Some(MADE));
        assert!(config.auth_infos[0].auth_info.as_ref().unwrap().token.is_some());
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let target = Target {
            host: Some("https://x".into()),
            client_certificate: Some("pem".into()),
            ..Target::default()
        };
        assert!(
            target
                .kubeconfig()
                .unwrap_err()
                .to_string()
                .contains("go together")
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let target = Target {
            config_path: Some("/nowhere/config".into()),
            ..Target::default()
        };
        assert!(
            target
                .kubeconfig()
                .unwrap_err()
                .to_string()
                .contains("/nowhere/config")
        );
    }
}
