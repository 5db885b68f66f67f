//! Amazon ECR: its token, and its repositories.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Secret;
use crate::aws::{Aws, AwsError, ECR};
use crate::task::allowance::Allowance;
use crate::task::aws::AwsAccess;
use crate::task::docker::{Login, Reference, is_registry};
use crate::task::halt::Halt;
use crate::task::{Level, TaskContext, TaskError};

/// What ECR answers when there is no repository of a name.
const ABSENT: &str = "RepositoryNotFoundException";

/// And when somebody else was faster to create it.
const PRESENT: &str = "RepositoryAlreadyExistsException";

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ecr {
    /// Which AWS, and as whom.
    #[serde(default)]
    aws: AwsAccess,
    /// Whether to create repositories that are missing.
    #[serde(default)]
    create_repositories: bool,
    /// The registry as `to` names it, where it is reached by another name: `HOST[:PORT]`. Without, those that are called
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
    registry: Option<String>,
}

impl Ecr {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.aws.secrets()
    }

    pub(super) fn check(&self) -> Result<(), TaskError> {
        if self
            .registry
            .as_ref()
            .is_some_and(|registry| !is_registry(registry))
        {
            let problem = "is no registry; give HOST or HOST:PORT, without a scheme and a path";
            return Err(TaskError::data("ecr.registry", problem));
        }
        self.aws.check("ecr.aws")
    }
}

/// A registry as ECR names it.
struct Host<'a> {
    account: &'a str,
    region: &'a str,
}

impl<'a> Host<'a> {
    fn read(registry: &'a str) -> Option<Self> {
        let (account, rest) = registry.split_once(".dkr.ecr.")?;
        let region = rest
            .strip_suffix(".amazonaws.com")
            .or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
        let fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (fits && !region.contains('.')).then_some(Self { account, region })
    }
}

/// The registries among the targets that are ECR, each once.
pub(super) fn registries<'a>(ecr: &Ecr, to: &'a [String]) -> Result<Vec<&'a str>, TaskError> {
    let mut found = Vec::new();
    for target in to {
        let Reference { registry, .. } = Reference::read("to", target)?;
        let is_ecr = match &ecr.registry {
            Some(named) => named == registry,
            None => Host::read(registry).is_some(),
        };
        if is_ecr && !found.contains(&registry) {
            found.push(registry);
        }
    }
    Ok(found)
}

/// Creates what is missing when that is asked for, and returns the logins.
pub(super) async fn prepare(
    ecr: &Ecr,
    to: &[String],
    context: &TaskContext,
    allowance: &Allowance,
) -> Result<Vec<Login>, Halt> {
    let aws = ecr.aws.client("ecr.aws", context)?;
    let registries = registries(ecr, to)?;
    for registry in &registries {
        if let Some(host) = Host::read(registry)
            && host.region != aws.region()
        {
            let problem = format!(
                "is {}, and {registry} is not there; give its region",
                aws.region()
            );
            return Err(TaskError::data("ecr.aws.region", problem).into());
        }
    }
    let logins = async {
        let (user, password) = token(&aws).await?;
        if ecr.create_repositories {
            for target in to {
                let reference = Reference::read("to", target)?;
                if registries.contains(&reference.registry) {
                    create(&aws, &reference, context).await?;
                }
            }
        }
        let login = |registry: &&str| Login {
            registry: (*registry).to_owned(),
            user: user.clone(),
            password: password.clone(),
        };
        Ok(registries.iter().map(login).collect())
    };
    allowance.within("preparing Amazon ECR", logins).await?
}

/// The login that a token is; it is good for all registries that the identity may use.
async fn token(aws: &Aws) -> Result<(String, Secret), Halt> {
    let answer = aws
        .json(&ECR, "GetAuthorizationToken", &json!({}))
        .await
        .map_err(|error| failed(&error))?;
    let token = answer["authorizationData"][0]["authorizationToken"].as_str();
    let login = token
        .and_then(|token| STANDARD.decode(token).ok())
        .and_then(|login| String::from_utf8(login).ok());
    match login.as_deref().and_then(|login| login.split_once(':')) {
        Some((user, password)) => Ok((user.to_owned(), Secret::new(password))),
        None => Err(Halt::failed(
            "ECR GetAuthorizationToken: the answer has no token in it",
        )),
    }
}

/// Creates a repository unless it is there.
async fn create(aws: &Aws, target: &Reference<'_>, context: &TaskContext) -> Result<(), Halt> {
    let name = target.repository;
    let mut look = json!({"repositoryNames": [name]});
    let mut create = json!({"repositoryName": name});
    if let Some(host) = Host::read(target.registry) {
        for body in [&mut look, &mut create] {
            body["registryId"] = Value::from(host.account);
        }
    }
    match aws.json(&ECR, "DescribeRepositories", &look).await {
        Ok(_) => return Ok(()),
        Err(error) if error.code() == Some(ABSENT) => {}
        Err(error) => return Err(failed(&error)),
    }
    match aws.json(&ECR, "CreateRepository", &create).await {
        Ok(_) => {
            let say = format!("created the repository {name} in ECR");
            context.log.line(Level::Info, &say).await;
            Ok(())
        }
        Err(error) if error.code() == Some(PRESENT) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &AwsError) -> Halt {
    Halt::failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_ecr_by_its_name() {
        let host = Host::read("123456789012.dkr.ecr.eu-central-1.amazonaws.com").unwrap();
        assert_eq!((host.account, host.region), ("123456789012", "eu-central-1"));
        assert!(Host::read("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn").is_some());
        for other in [
            "123.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.evil.example.amazonaws.com",
            "registry.example.com",
        ] {
            assert!(Host::read(other).is_none(), "{other}");
        }
    }
}
