//! The life of a `harness_delegate`, as Terraform walks it.

use crate::data::ProviderData;
use crate::framework::prelude::*;

use super::model::Model;
use super::place::{self, Failure, Seen};
use super::spec::{TokenFrom, spec};
use super::{import, schema};

/// Key in the private state: differences that were there right after our own apply. They are somebody's answer to it (an
/// admission hook, say), and no drift.
const ACCEPTED: &str = "accepted_differences";

/// Key in the private state: what changes with the Secret of the token, without telling it.
const SECRET_REVISION: &str = "secret_revision";

/// Key in the private state: the last apply failed, so the place is not what was asked for until it shows that it is.
const UNFINISHED: &str = "unfinished";

/// What is said of that.
const UNFINISHED_LINE: &str = "the last apply did not finish, and the delegate is not what it waited for";

/// What an update makes uncertain.
const UNCERTAIN: [&str; 4] = ["connected", "ready_replicas", "version", "drift"];

/// The resource.
#[derive(Debug, Default)]
pub struct Delegate;

#[async_trait]
impl Resource for Delegate {
    type Data = ProviderData;
    type Model = Model;

    fn type_name(&self) -> &'static str {
        "harness_delegate"
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        Some(import::identity_schema())
    }

    fn identity(&self, state: &Model) -> Option<Value> {
        import::identity(state.id.as_ref().known()?)
    }

    async fn modify_plan(&self, cx: &Context<ProviderData>, plan: &mut Plan) -> Result<(), Diagnostics> {
        if plan.is_destroy() {
            return Ok(());
        }
        if plan.is_update() {
            let drifted = plan
                .prior()
                .named("drift")
                .as_elements()
                .is_some_and(|lines| !lines.is_empty());
            if drifted || plan.has_changes() {
                for name in UNCERTAIN {
                    plan.set_unknown(name)?;
                }
            }
        }
        if plan.has_changes() && !cx.provider.is_partial() {
            check(cx, plan).await?;
        }
        Ok(())
    }

    async fn create(
        &self,
        cx: &Context<ProviderData>,
        request: CreateRequest<Model>,
    ) -> Result<Outcome<Model>, Diagnostics> {
        let CreateRequest {
            plan,
            config,
            private,
        } = request;
        apply(cx, plan, &config, private, true).await
    }

    async fn read(
        &self,
        cx: &Context<ProviderData>,
        request: ReadRequest<Model>,
    ) -> Result<ReadOutcome<Model>, Diagnostics> {
        let ReadRequest {
            mut state, private, ..
        } = request;
        if cx.provider.is_partial() && needs_provider(&state) {
            // What the provider will say is known only after apply; until then the stored picture is the best there is.
            return Ok(ReadOutcome::present(state));
        }
        let provider = cx.data()?;
        if import::is_fresh(&state) {
            return import::complete(state, provider).await;
        }
        let spec = spec(&state, TokenFrom::Installed, provider)?;
        let place = place::reach(&spec, provider).await?;
        place.must_be(&state)?;
        let Some(seen) = place.observe().await? else {
            return Ok(ReadOutcome::Gone);
        };
        let accepted: Vec<String> = private.get(ACCEPTED).unwrap_or_default();
        let mut drift: Vec<String> = seen
            .drift
            .iter()
            .filter(|line| !accepted.contains(line))
            .cloned()
            .collect();
        // Nothing may differ and yet the delegate not be there: without this, a failed update would be an empty plan.
        if private.get(UNFINISHED).unwrap_or_default()
            && !seen.is_as_awaited(super::spec::wait_of(&state).until)
        {
            drift.push(UNFINISHED_LINE.to_owned());
        }
        let known: Option<String> = private.get(SECRET_REVISION);
        if known.is_some() && seen.secret_revision != known {
            drift.push("the Secret of the token was changed".to_owned());
        }
        seen.describe(&mut state);
        state.drift = Field::Known(drift);
        Ok(ReadOutcome::present(state))
    }

    async fn update(
        &self,
        cx: &Context<ProviderData>,
        request: UpdateRequest<Model>,
    ) -> Result<Outcome<Model>, Diagnostics> {
        let UpdateRequest {
            plan,
            config,
            private,
            ..
        } = request;
        apply(cx, plan, &config, private, false).await
    }

    async fn delete(
        &self,
        cx: &Context<ProviderData>,
        request: DeleteRequest<Model>,
    ) -> Result<Outcome<Model>, Diagnostics> {
        let provider = cx.data()?;
        let spec = spec(&request.state, TokenFrom::Installed, provider)?;
        let place = place::reach(&spec, provider).await?;
        place.must_be(&request.state)?;
        place
            .remove(place::delete_limit(&request.state), &cx.stop)
            .await?;
        Ok(Outcome::gone())
    }

    async fn import(
        &self,
        _cx: &Context<ProviderData>,
        request: ImportRequest,
    ) -> Result<Imported<Model>, Diagnostics> {
        import::locate(&request.target).map(Imported::new)
    }
}

/// Whether the state leaves anything to the provider's arguments.
fn needs_provider(state: &Model) -> bool {
    state.account_id.is_none()
        || state.manager_url.is_none()
        || (state.helm.is_some() && state.kubernetes.is_none())
}

/// Everything that can be known to fail before anything is changed. Says nothing while something is unknown.
async fn check(cx: &Context<ProviderData>, plan: &Plan) -> Result<(), Diagnostics> {
    let Ok(planned) = plan.planned().model::<Model>() else {
        return Ok(());
    };
    let Ok(config) = plan.config().model::<Model>() else {
        return Ok(());
    };
    let Some(provider) = cx.provider.data() else {
        return Ok(());
    };
    let spec = spec(&planned, TokenFrom::Config(&config), provider)?;
    place::check(&spec, provider, &cx.stop).await
}

/// Create and update are the same work; only who may own what is there differs.
async fn apply(
    cx: &Context<ProviderData>,
    plan: Model,
    config: &Model,
    mut private: Private,
    create: bool,
) -> Result<Outcome<Model>, Diagnostics> {
    let provider = cx.data()?;
    let spec = spec(&plan, TokenFrom::Config(config), provider)?;
    let place = place::reach(&spec, provider).await?;
    if !create {
        place.must_be(&plan)?;
    }
    let mut state = plan;
    if !matches!(state.id, Field::Known(_)) {
        state.id = Field::Known(place.import_id());
    }
    state.target_id = Field::Known(place.target_id());
    let failure = match place
        .install(create, place::apply_limit(&state, create), &cx.stop)
        .await
    {
        // Nothing was changed: the stored state, or none, is still true.
        Err(Failure::Before(problem)) => return Err(problem),
        Err(Failure::Midway(problem)) => Some(problem),
        Ok(()) => place.wait(super::spec::wait_of(&state), &cx.stop).await.err(),
    };
    let seen = match place.observe().await {
        Ok(Some(seen)) => seen,
        // It cannot be looked at now; that it was begun is kept, and what failed is told.
        Ok(None) | Err(_) => Seen::nothing(),
    };
    seen.describe(&mut state);
    let Some(problem) = failure else {
        private.set(ACCEPTED, &seen.drift);
        private.remove(UNFINISHED);
        match &seen.secret_revision {
            Some(revision) => private.set(SECRET_REVISION, revision),
            None => private.remove(SECRET_REVISION),
        }
        state.drift = Field::Known(Vec::new());
        return Ok(Outcome::done(state).with_private(private));
    };
    // An update that failed has left something that is not what is stored: the next plan sets it right.
    let mut drift = seen.drift;
    if drift.is_empty() {
        drift.push(UNFINISHED_LINE.to_owned());
    }
    private.set(UNFINISHED, &true);
    state.drift = Field::Known(drift);
    Ok(Outcome::partial(state, problem).with_private(private))
}
