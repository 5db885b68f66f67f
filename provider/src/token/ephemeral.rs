//! The ephemeral `harness_delegate_token`: the value of a token that exists, for this run only.

use super::place::Place;
use super::schema;
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::platform::{Scope, TokenStatus};
use crate::secret::StateSecret;

/// The ephemeral resource.
#[derive(Debug, Default)]
pub struct EphemeralToken;

/// One field an attribute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    id: Option<String>,
    name: Option<String>,
    account_id: Option<String>,
    org_id: Option<String>,
    project_id: Option<String>,
    value: Option<StateSecret>,
}

#[async_trait]
impl EphemeralResource for EphemeralToken {
    type Data = ProviderData;
    type Model = Model;

    fn type_name(&self) -> &'static str {
        "harness_delegate_token"
    }

    fn schema(&self) -> Schema {
        schema::ephemeral()
    }

    async fn validate(&self, _cx: &Context<ProviderData>, config: &Value) -> Diagnostics {
        match config.named("id").as_str() {
            Some(id) if Place::parse(id).is_none() => unsuitable().into(),
            _ => Diagnostics::new(),
        }
    }

    async fn open(&self, cx: &Context<ProviderData>, config: Model) -> Result<Opened<Model>, Diagnostics> {
        let place = match (&config.id, config.name) {
            (Some(id), _) => Place::parse(id).ok_or_else(unsuitable)?,
            (None, Some(name)) => Place {
                scope: Scope {
                    org: config.org_id,
                    project: config.project_id,
                },
                name,
            },
            (None, None) => return Err(unsuitable().into()),
        };
        let api = cx.data()?.api(config.account_id.as_deref(), &cx.stop)?;
        let Place { scope, name } = &place;
        let found = api.token(scope, name).await?;
        let account = api.account();
        let token = found.ok_or_else(|| {
            Diagnostic::error(
                "No such delegate token",
                format!(
                    "There is no token {name:?} in {scope} ({account}). For a token that the same apply makes, give its id: \
                     id = harness_delegate_token.NAME.id."
                ),
            )
        })?;
        if token.status == TokenStatus::Revoked {
            let detail = format!(
                "The token {name:?} of {scope} is revoked: a manager refuses every delegate that has it. Use another token."
            );
            return Err(Diagnostics::error("The delegate token is revoked", detail));
        }
        let value = token.value.ok_or_else(|| {
            let detail = format!(
                "The manager does not show the value of {name:?} to this API key. Give the key's role the permission to edit \
                 delegate tokens."
            );
            Diagnostics::error("The token's value cannot be read", detail)
        })?;
        Ok(Opened::new(Model {
            id: Some(place.id()),
            account_id: Some(account.to_owned()),
            name: Some(place.name),
            org_id: place.scope.org,
            project_id: place.scope.project,
            value: Some(StateSecret(value)),
        }))
    }
}

fn unsuitable() -> Diagnostic {
    Diagnostic::error(
        "Unsuitable id",
        "Give the id of a harness_delegate_token: <name>, <organization>/<name> or <organization>/<project>/<name>.",
    )
    .at("id")
}
