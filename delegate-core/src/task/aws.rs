//! The field `aws` of kinds that call AWS: where, and as whom. One type for all of them.
//!
//! Without `credentials` a task is who its scripts would be with AWS's own programs: the delegate's identity, as far as its
//! environment is passed on to tasks (`AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_CONTAINER_CREDENTIALS_…`, the role of
//! the machine). Keys of the delegate's own environment are passed on only when its owner says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::halt::Halt;
use super::{TaskContext, TaskError};
use crate::Secret;
use crate::aws::{Aws, AwsError, Endpoints, Identity, Role, Source, is_region, is_usable};
use crate::config::Env;
use crate::config::secrets::AwsIdentity;

/// Shown in AWS's logs where the data names no session.
const SESSION_NAME: &str = "harness-delegate";

/// Which AWS: the region, and who calls.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AwsAccess {
    /// Region, such as `eu-central-1`. Default: `AWS_REGION` of the delegate, or its `AWS_DEFAULT_REGION`.
    region: Option<String>,
    /// Who calls. Default: the delegate, by the web identity, container credentials or machine role that its environment names.
    credentials: Option<AwsCredentials>,
    /// A role to take as that identity.
    role: Option<AwsRole>,
    /// Address to use for every service instead of AWS's own, such as one in a VPC. Default: `AWS_ENDPOINT_URL_…` and
    /// `AWS_ENDPOINT_URL` of the delegate.
    endpoint: Option<String>,
}

/// Credentials of a task's own.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum AwsCredentials {
    /// An access key.
    Keys(AwsKeys),
    /// A token of an identity provider that AWS trusts, exchanged for credentials of a role.
    WebIdentity(AwsWebIdentity),
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AwsKeys {
    /// Id of the key, `AKIA…` or `ASIA…`.
    access_key_id: String,
    /// The key.
    secret_access_key: Secret,
    /// Token of keys that are good for some time only.
    session_token: Option<Secret>,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AwsWebIdentity {
    /// ARN of the role.
    role_arn: String,
    /// The token, a JWT.
    token: Secret,
    /// Shown in AWS's logs. Default: `harness-delegate`.
    session_name: Option<String>,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AwsRole {
    /// ARN of the role.
    arn: String,
    /// The external id that the role's owner asks for.
    external_id: Option<String>,
    /// Shown in AWS's logs. Default: `harness-delegate`.
    session_name: Option<String>,
}

/// What AWS refuses is the outcome of the task.
impl From<AwsError> for Halt {
    fn from(error: AwsError) -> Self {
        Self::failed(error.to_string())
    }
}

impl AwsAccess {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match &self.credentials {
            None => Vec::new(),
            Some(AwsCredentials::Keys(keys)) => {
                let token = keys.session_token.iter().cloned();
                token.chain([keys.secret_access_key.clone()]).collect()
            }
            Some(AwsCredentials::WebIdentity(web)) => vec![web.token.clone()],
        }
    }

    /// `field` is the path of this type in the data.
    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let wrong = |name: &str, problem: &str| Err(TaskError::data(format!("{field}.{name}"), problem));
        if self.region.as_deref().is_some_and(|region| !is_region(region)) {
            return wrong("region", "is no region of AWS; expected for example eu-central-1");
        }
        if let Some(endpoint) = &self.endpoint
            && !endpoint.parse::<Url>().is_ok_and(|url| is_usable(&url))
        {
            return wrong(
                "endpoint",
                "is no address without a login; expected https://host[:port]",
            );
        }
        match &self.credentials {
            Some(AwsCredentials::Keys(keys)) => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric();
                if keys.access_key_id.is_empty() || !keys.access_key_id.bytes().all(fits) {
                    let problem = "is no id of an access key, which has letters and digits only";
                    return wrong("credentials.keys.access_key_id", problem);
                }
                if keys.secret_access_key.is_empty() {
                    return wrong("credentials.keys.secret_access_key", "is empty");
                }
            }
            Some(AwsCredentials::WebIdentity(web)) => {
                check_role(&web.role_arn, || {
                    format!("{field}.credentials.web_identity.role_arn")
                })?;
                check_session(web.session_name.as_deref(), || {
                    format!("{field}.credentials.web_identity.session_name")
                })?;
                if web.token.is_empty() {
                    return wrong("credentials.web_identity.token", "is empty");
                }
            }
            None => {}
        }
        if let Some(role) = &self.role {
            check_role(&role.arn, || format!("{field}.role.arn"))?;
            check_session(role.session_name.as_deref(), || {
                format!("{field}.role.session_name")
            })?;
        }
        Ok(())
    }

    /// Who is meant, for a task. Contacts nobody.
    pub(super) fn client(&self, field: &str, context: &TaskContext) -> Result<Aws, TaskError> {
        let variables = variables(context);
        let region = self.region.as_deref().or_else(|| {
            let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
            names
                .iter()
                .find_map(|name| variables.get(*name))
                .map(String::as_str)
        });
        let Some(region) = region.filter(|region| is_region(region)) else {
            return Err(TaskError::data(
                format!("{field}.region"),
                "is needed, because AWS_REGION of this delegate names no region",
            ));
        };
        let own = Endpoints::of_variables(variables.iter().map(|(name, value)| (&**name, &**value)))
            .map_err(|error| TaskError::Refused(error.to_string()))?;
        let endpoints = match self.endpoint.as_ref().and_then(|endpoint| endpoint.parse().ok()) {
            Some(url) => Endpoints::everything_at(url),
            None => own.clone(),
        };
        let (identity, sts) = match &self.credentials {
            Some(credentials) => (credentials.identity(), endpoints.clone()),
            // The token of the delegate itself is shown to nobody that a task names.
            None => (delegates_own(field, &variables)?, own),
        };
        let role = self.role.as_ref().map(|role| Role {
            arn: role.arn.clone(),
            external_id: role.external_id.clone(),
            session_name: session_name(role.session_name.as_ref()),
        });
        let source = Source::new(Arc::clone(&context.http), region, sts, identity);
        let source = source.in_role(role, endpoints.clone());
        Ok(Aws::new(Arc::clone(&context.http), region, endpoints, source))
    }
}

/// The identity of the delegate, as its tasks see it.
fn delegates_own(field: &str, variables: &BTreeMap<String, String>) -> Result<Identity, TaskError> {
    let env: Env = variables.clone().into_iter().collect();
    let own = AwsIdentity::of_env(&env, "AWS_EC2_METADATA_DISABLED");
    own.map(Identity::Usual).map_err(|errors| {
        TaskError::Refused(format!(
            "task data field `{field}.credentials` is not there, and tasks of this delegate have no identity of AWS: {errors}"
        ))
    })
}

impl AwsCredentials {
    fn identity(&self) -> Identity {
        match self {
            Self::Keys(keys) => Identity::Usual(AwsIdentity::Keys {
                id: keys.access_key_id.clone(),
                secret: keys.secret_access_key.clone(),
                session_token: keys.session_token.clone(),
            }),
            Self::WebIdentity(web) => Identity::Token {
                role_arn: web.role_arn.clone(),
                token: web.token.clone(),
                session_name: session_name(web.session_name.as_ref()),
            },
        }
    }
}

/// What a script of the task would see.
fn variables(context: &TaskContext) -> BTreeMap<String, String> {
    let text = |text: &std::ffi::OsStr| text.to_str().map(str::to_owned);
    let all = context.environment.iter();
    all.filter_map(|(name, value)| Some((text(name)?, text(value).filter(|value| !value.is_empty())?)))
        .collect()
}

fn session_name(given: Option<&String>) -> String {
    given.map_or_else(|| SESSION_NAME.to_owned(), Clone::clone)
}

fn check_role(arn: &str, field: impl FnOnce() -> String) -> Result<(), TaskError> {
    let is_role = arn.starts_with("arn:") && arn.contains(":role/") && !arn.contains(char::is_whitespace);
    if is_role {
        return Ok(());
    }
    let problem = "is no ARN of a role; expected arn:aws:iam::ACCOUNT:role/NAME";
    Err(TaskError::data(field(), problem))
}

fn check_session(name: Option<&str>, field: impl FnOnce() -> String) -> Result<(), TaskError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"=,.@_-".contains(&byte);
    let Some(name) = name else { return Ok(()) };
    if (2..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    let problem = "is no name of a session: 2 to 64 letters, digits and characters of =,.@_-";
    Err(TaskError::data(field(), problem))
}
