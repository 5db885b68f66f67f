//! The life of a `harness_delegate_token`.

use jiff::Timestamp;

use super::place::{self, Place};
use super::schema;
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::platform::{Api, PlatformError, Scope, Token, TokenStatus};
use crate::secret::StateSecret;

/// The resource.
#[derive(Debug, Default)]
pub struct TokenResource;

/// One field an attribute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    name: String,
    account_id: Field<String>,
    org_id: Option<String>,
    project_id: Option<String>,
    revoke_after: Option<String>,
    store_value: Option<bool>,
    delete_on_destroy: Option<bool>,
    id: Field<String>,
    status: Field<String>,
    created_at: Field<String>,
    value: Field<StateSecret>,
}

impl Model {
    fn place(&self) -> Place {
        Place {
            scope: Scope {
                org: self.org_id.clone(),
                project: self.project_id.clone(),
            },
            name: self.name.clone(),
        }
    }

    fn stores_value(&self) -> bool {
        self.store_value == Some(true)
    }

    fn api(&self, cx: &Context<ProviderData>) -> Result<Api, Diagnostics> {
        let account = self.account_id.as_ref().known().map(String::as_str);
        Ok(cx.data()?.api(account, &cx.stop)?)
    }

    /// Puts what the manager says into the state.
    fn describe(&mut self, token: Token, account: &str) {
        self.account_id = Field::Known(account.to_owned());
        self.id = Field::Known(self.place().id());
        self.status = Field::Known(
            match token.status {
                TokenStatus::Active => "ACTIVE",
                TokenStatus::Revoked => "REVOKED",
            }
            .to_owned(),
        );
        self.created_at = token.created_at.map(|at| at.to_string()).into();
        // The owner's way of writing a time stays, and so does a time that the manager does not tell.
        let known = self.revoke_after.as_deref().and_then(time);
        if let Some(at) = token
            .revoke_after
            .filter(|at| known.map(millis) != Some(millis(*at)))
        {
            self.revoke_after = Some(at.to_string());
        }
        self.value = match token.value {
            Some(value) if self.stores_value() => Field::Known(StateSecret(value)),
            _ => Field::Null,
        };
    }
}

#[async_trait]
impl Resource for TokenResource {
    type Data = ProviderData;
    type Model = Model;

    fn type_name(&self) -> &'static str {
        "harness_delegate_token"
    }

    fn schema(&self) -> Schema {
        schema::resource()
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        Some(place::identity_schema())
    }

    fn identity(&self, state: &Model) -> Option<Value> {
        let account = state.account_id.as_ref().known()?;
        Some(place::identity(account, &state.place()))
    }

    async fn modify_plan(&self, _cx: &Context<ProviderData>, plan: &mut Plan) -> Result<(), Diagnostics> {
        if plan.is_destroy() {
            return Ok(());
        }
        if plan.is_create() {
            check_revoke_after(plan)?;
        } else if plan.changes("revoke_after") && !plan.is_replace() {
            return Err(fixed_revoke_after());
        }
        // A token that is dead is of no use to keep, and with its name freed it can be made anew. What counts is the stored
        // flag: a destroy reads that one.
        let revoked = plan.prior().named("status").as_str() == Some("REVOKED");
        let frees_name = plan.prior().named("delete_on_destroy").as_bool() == Some(true);
        if plan.is_update() && revoked && frees_name {
            for name in ["status", "id", "created_at"] {
                plan.set_unknown(name)?;
            }
            plan.require_replace("status");
        }
        match plan.field::<bool>("store_value")? {
            Field::Known(true) if plan.is_create() || plan.prior().named("value").is_null() => {
                plan.set_unknown("value")
            }
            Field::Known(true) => Ok(()),
            Field::Null | Field::Known(false) => plan.set("value", &Field::<String>::Null),
            Field::Unknown => plan.set_unknown("value"),
        }
    }

    async fn create(
        &self,
        cx: &Context<ProviderData>,
        request: CreateRequest<Model>,
    ) -> Result<Outcome<Model>, Diagnostics> {
        let mut state = request.plan;
        let api = state.api(cx)?;
        let place = state.place();
        let revoke_after = state.revoke_after.as_deref().and_then(time);
        let token = make(&api, &place, revoke_after).await?;
        // An error now would mark the token for replacement, which its name does not survive.
        if state.stores_value() && token.value.is_none() {
            cx.warn(
                Diagnostic::warning("The token's value is not in the state", hidden(&place))
                    .at("store_value"),
            );
        }
        state.describe(token, api.account());
        Ok(Outcome::done(state))
    }

    async fn read(
        &self,
        cx: &Context<ProviderData>,
        request: ReadRequest<Model>,
    ) -> Result<ReadOutcome<Model>, Diagnostics> {
        let mut state = request.state;
        let api = match state.api(cx) {
            Ok(api) => api,
            // What the provider will say is known only after apply; until then the stored picture is the best there is.
            Err(_) if cx.provider.is_partial() => return Ok(ReadOutcome::present(state)),
            Err(problem) => return Err(problem),
        };
        let place = state.place();
        let Some(token) = api.token(&place.scope, &place.name).await? else {
            return Ok(ReadOutcome::Gone);
        };
        if token.status == TokenStatus::Revoked {
            cx.warn(revoked_outside(&place));
        }
        state.describe(token, api.account());
        Ok(ReadOutcome::present(state))
    }

    /// Changes what is kept of the token, never the token.
    async fn update(
        &self,
        cx: &Context<ProviderData>,
        request: UpdateRequest<Model>,
    ) -> Result<Outcome<Model>, Diagnostics> {
        let mut state = request.plan;
        if state.value.is_unknown() {
            let place = state.place();
            let api = state.api(cx)?;
            let token = api.token(&place.scope, &place.name).await?;
            let value = token.ok_or_else(|| missing(&place))?.value;
            let value = value.ok_or_else(|| {
                Diagnostic::error("The token's value cannot be read", hidden(&place)).at("store_value")
            })?;
            state.value = Field::Known(StateSecret(value));
        }
        Ok(Outcome::done(state))
    }

    async fn delete(
        &self,
        cx: &Context<ProviderData>,
        request: DeleteRequest<Model>,
    ) -> Result<Outcome<Model>, Diagnostics> {
        let state = request.state;
        let api = state.api(cx)?;
        let Place { scope, name } = state.place();
        let Some(token) = api.token(&scope, &name).await? else {
            return Ok(Outcome::gone());
        };
        if token.status == TokenStatus::Active
            && let Err(error) = api.revoke_token(&scope, &name).await
        {
            // A repeated request may be refused because the first one was done.
            match api.token(&scope, &name).await {
                Ok(Some(token)) if token.status == TokenStatus::Revoked => {}
                Ok(None) => return Ok(Outcome::gone()),
                _ => return Err(error.into()),
            }
        }
        if state.delete_on_destroy == Some(true)
            && let Err(error) = api.delete_token(&scope, &name).await
            && !matches!(api.token(&scope, &name).await, Ok(None))
        {
            return Err(error.into());
        }
        Ok(Outcome::gone())
    }

    async fn import(
        &self,
        _cx: &Context<ProviderData>,
        request: ImportRequest,
    ) -> Result<Imported<Model>, Diagnostics> {
        let (account, place) = place::locate(&request.target)?;
        Ok(Imported::new(Model {
            id: Field::Known(place.id()),
            name: place.name,
            account_id: account.into(),
            org_id: place.scope.org,
            project_id: place.scope.project,
            revoke_after: None,
            store_value: None,
            delete_on_destroy: None,
            status: Field::Null,
            created_at: Field::Null,
            value: Field::Null,
        }))
    }
}

/// Makes the token. What is there already under its name is explained, and one whose reply was lost is found.
async fn make(api: &Api, place: &Place, revoke_after: Option<Timestamp>) -> Result<Token, Diagnostics> {
    let Place { scope, name } = place;
    if let Some(there) = api.token(scope, name).await? {
        return Err(taken(place, &there));
    }
    let error = match api.create_token(scope, name, revoke_after).await {
        Ok(token) => return Ok(token),
        Err(error) => error,
    };
    match api.token(scope, name).await {
        // It was not there before: it is what this call has made.
        Ok(Some(token)) if error.is_in_doubt() && token.status == TokenStatus::Active => Ok(token),
        Ok(Some(there)) if error.is_refusal() => Err(taken(place, &there)),
        Ok(None) => Err(error.into()),
        Ok(Some(_)) | Err(_) => Err(doubtful(place, &error)),
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// As exact as the manager is.
fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn check_revoke_after(plan: &Plan) -> Result<(), Diagnostics> {
    let Field::Known(text) = plan.field::<String>("revoke_after")? else {
        return Ok(());
    };
    if time(&text).is_none_or(|at| at > Timestamp::now()) {
        return Ok(());
    }
    Err(Diagnostic::error(
        "The token would be revoked at once",
        format!("revoke_after is {text}, which is over. Give a later time, or none."),
    )
    .at("revoke_after")
    .into())
}

fn fixed_revoke_after() -> Diagnostics {
    Diagnostic::error(
        "revoke_after cannot be changed",
        "A manager sets it when it makes the token. To change it by replacing the token would revoke this one, end its delegates, \
         and leave its name taken for 30 days. Set the old value again, or make a second token with another name, give it to \
         the delegates, and then remove this one.",
    )
    .at("revoke_after")
    .into()
}

fn taken(place: &Place, there: &Token) -> Diagnostics {
    let Place { scope, name } = place;
    let id = place.id();
    let (summary, detail) = match there.status {
        TokenStatus::Active => (
            "The delegate token exists already",
            format!(
                "There is an active token {name:?} in {scope}. Import it (terraform import ADDRESS '{id}'), or choose another name."
            ),
        ),
        TokenStatus::Revoked => (
            "The name of the delegate token is blocked",
            format!(
                "A token {name:?} of {scope} was revoked, and its name stays taken for 30 days after that, so that nobody takes a new \
                 token for the old one. Choose another name, delete the revoked token, or wait. A token with delete_on_destroy = true \
                 leaves no blocked name behind where the manager allows it."
            ),
        ),
    };
    Diagnostic::error(summary, detail).at("name").into()
}

fn doubtful(place: &Place, error: &PlatformError) -> Diagnostics {
    let next = format!(
        "It is not known whether the token was made. If it was, the next apply says that it exists: import it then (terraform import \
         ADDRESS '{}').",
        place.id()
    );
    Diagnostic::from_error("The delegate token may have been created", error, &next).into()
}

fn missing(place: &Place) -> Diagnostics {
    let Place { scope, name } = place;
    Diagnostics::error(
        "The delegate token is gone",
        format!("There is no token {name:?} in {scope} any more. Plan again: the refresh notices it."),
    )
}

fn revoked_outside(place: &Place) -> Diagnostic {
    let Place { scope, name } = place;
    Diagnostic::warning(
        "The delegate token is revoked",
        format!(
            "The token {name:?} of {scope} was revoked outside of Terraform, or its revoke_after has come; its delegates are refused. Its \
             name stays taken for 30 days, so make a token with another name. With delete_on_destroy = true this one is replaced."
        ),
    )
}

fn hidden(place: &Place) -> String {
    format!(
        "The manager does not show the value of {:?} to this API key. Give the key's role the permission to edit delegate tokens, \
         or remove store_value.",
        place.name
    )
}
