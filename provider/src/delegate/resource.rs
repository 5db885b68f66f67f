//! The life of a `harness_delegate`, as Terraform walks it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::claims::Phase;
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

/// Key in the private state: what is to be said because the configuration leads to another place. Kept for the plan, which
/// alone knows whether that place is meant.
const ELSEWHERE: &str = "elsewhere";

/// Longest last look at a place after Ctrl-C; what is not seen by then is seen by the next plan.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// What is said of that.
const UNFINISHED_LINE: &str = "the last apply did not finish, and the delegate is not what it waited for";

/// Only a container tells it.
const IMAGE_DIGEST: &str = "image_digest";

/// What an update makes uncertain.
const UNCERTAIN: [&str; 5] = ["connected", "ready_replicas", "version", IMAGE_DIGEST, "drift"];

/// What is made anew when it gets another name; without a name of its own it has the delegate's, so that spelling that
/// out changes nothing.
const NAMES: [&str; 2] = ["helm.release", "docker.container"];

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
        adopted(plan)?;
        if plan.is_destroy() {
            return Ok(());
        }
        if plan.is_update() {
            for path in NAMES {
                if own_name(plan.prior(), path) != own_name(plan.planned(), path) {
                    plan.require_replace(path);
                }
            }
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
        if plan.config().named("docker").is_null() {
            plan.set(IMAGE_DIGEST, &Field::<()>::Null)?;
        }
        if !plan.has_changes() {
            return Ok(());
        }
        if !cx.provider.is_partial() {
            return check(cx, plan).await;
        }
        // Without that capability the plan stands, and what cannot be known yet is checked by the apply.
        if cx.client.deferral_allowed
            && plan
                .planned()
                .model()
                .map_or(true, |planned| needs_provider(&planned))
        {
            plan.defer(DeferReason::ProviderConfigUnknown);
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
            mut state,
            mut private,
            ..
        } = request;
        if cx.provider.is_partial() && needs_provider(&state) {
            if cx.client.deferral_allowed {
                return Ok(ReadOutcome::Deferred(DeferReason::ProviderConfigUnknown));
            }
            // What the provider will say is known only after apply; until then the stored picture is the best there is.
            return Ok(ReadOutcome::present(state));
        }
        let provider = cx.data()?;
        if import::is_fresh(&state) {
            let otherwise = import::not_found(&state);
            let found = import::complete(state, provider, &cx.stop).await?;
            if let (ReadOutcome::Gone, Some(problem)) = (&found, otherwise) {
                return Err(problem.into());
            }
            return Ok(found);
        }
        let spec = spec(&state, TokenFrom::Installed, provider)?;
        let place = place::reach(&spec, provider, &cx.stop).await?;
        if let Some(text) = place.elsewhere(&state) {
            private.set(ELSEWHERE, &text);
            return Ok(ReadOutcome::Present {
                state,
                private: Some(private),
            });
        }
        private.remove(ELSEWHERE);
        let Some(seen) = place.observe(&cx.stop).await? else {
            return Ok(ReadOutcome::Gone);
        };
        if seen.unclaimed
            && let Some(claim) = place.claim()
        {
            // The apply that made it was cut off after Terraform had stored it.
            claim.await;
        }
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
        Ok(ReadOutcome::Present {
            state,
            private: Some(private),
        })
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
        let place = place::reach(&spec, provider, &cx.stop).await?;
        if request.state.adopt != Some(true) {
            place.must_be(&request.state)?;
        }
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

    fn move_state(&self, request: &MoveRequest) -> Option<Result<Model, Diagnostics>> {
        import::from_release(request)
    }
}

/// Refuses another place than the one the delegate was installed in, unless the configuration says that it is meant.
fn adopted(plan: &mut Plan) -> Result<(), Diagnostics> {
    let Some(text) = plan.private.get::<String>(ELSEWHERE) else {
        return Ok(());
    };
    let says = if plan.is_destroy() {
        plan.prior()
    } else {
        plan.config()
    };
    if says.named("adopt").as_bool() != Some(true) {
        return Err(place::another_place(text));
    }
    if plan.is_update() {
        plan.set_unknown("target_id")?;
    }
    Ok(())
}

/// The name that the argument at `path` gives, or leaves to the delegate's.
fn own_name<'a>(model: &'a Value, path: &str) -> &'a Value {
    match model.at(&path.into()) {
        Value::Null => model.named("name"),
        own => own,
    }
}

/// Whether the state leaves anything to the provider's arguments.
fn needs_provider(state: &Model) -> bool {
    state.account_id.is_none()
        || state.manager_url.is_none()
        || ((state.helm.is_some() || state.manifest.is_some()) && state.kubernetes.is_none())
        || state.docker.as_ref().is_some_and(|docker| docker.host.is_none())
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
    if plan.is_create() {
        claim(provider, Phase::Plan, &place::addresses(&spec), &planned.name)?;
    }
    place::remarks(&spec)
        .into_iter()
        .for_each(|remark| cx.warn(remark));
    place::check(&spec, provider, &cx.stop).await
}

/// Refuses a delegate that another resource of this run has asked for already.
fn claim(provider: &ProviderData, phase: Phase, places: &[String], name: &str) -> Result<(), Diagnostics> {
    provider.claims.take(phase, places, name).map_err(|first| {
        let text = format!(
            "The delegate {name} would be the same as the delegate {first} of another resource: both have the same place, and each \
             would undo what the other does. Give it another name, or another place."
        );
        Diagnostic::error("The same delegate twice", text).at("name").into()
    })
}

/// What is there at the end of an apply.
async fn last_look(place: &place::Place<'_>, stop: &CancellationToken) -> Seen {
    // With a token of its own: the call's own stop would end the look before it began.
    let patience = CancellationToken::new();
    let look = async { place.observe(&patience).await.ok().flatten() };
    let seen = if stop.is_cancelled() {
        tokio::time::timeout(LAST_LOOK, look).await.ok().flatten()
    } else {
        look.await
    };
    // When it cannot be looked at now, that it was begun is kept, and what failed is told.
    seen.unwrap_or_else(Seen::nothing)
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
    let place = place::reach(&spec, provider, &cx.stop).await?;
    if !create {
        place.must_be(&plan)?;
    }
    claim(provider, Phase::Apply, &place.addresses(), &plan.name)?;
    private.remove(ELSEWHERE);
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
        Ok(said) => {
            said.into_iter().for_each(|warning| cx.warn(warning));
            place.wait(super::spec::wait_of(&state), &cx.stop).await.err()
        }
    };
    if let Some(claim) = place.claim() {
        // Not before Terraform has stored what is returned here: until then a create may go on with what is there.
        cx.at_end(claim);
    }
    let seen = last_look(&place, &cx.stop).await;
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
