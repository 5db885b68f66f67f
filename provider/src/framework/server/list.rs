//! Listings: streams of what exists.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tracing::Instrument;

use super::{ProviderServer, validate};
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::schema::IdentitySchema;
use crate::framework::traits::{ListItem, ListRequest, ListSink, Provider};
use crate::framework::value::Type;
use crate::plugin::guard;
use crate::plugin::proto::tfplugin6 as pb;

const KIND: &str = "list resource";
/// Items between the listing and the host: enough to keep both busy, few enough to hold in memory whatever
/// their size.
const ITEMS_IN_FLIGHT: usize = 16;

/// What the events of one listing are made with.
struct Shape {
    identity: Type,
    resource: Type,
}

impl<P: Provider> ProviderServer<P> {
    pub(super) async fn validate_list(
        &self,
        request: &pb::validate_list_resource_config::Request,
    ) -> Result<pb::validate_list_resource_config::Response, Diagnostics> {
        let entry = self.parts.find_list(KIND, &request.type_name)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let cx = self.context(None, None)?;
        let diagnostics = validate(entry.schema(), &config, &cx, entry.handler.validate(&cx, &config)).await;
        Ok(pb::validate_list_resource_config::Response {
            diagnostics: convert::diagnostics(diagnostics),
        })
    }

    pub(super) fn list(&self, request: &pb::list_resource::Request) -> BoxStream<pb::list_resource::Event> {
        match self.start_list(request) {
            Ok(events) => events,
            Err(problem) => Box::pin(stream::iter([Ok(failure(problem))])),
        }
    }

    fn start_list(
        &self,
        request: &pb::list_resource::Request,
    ) -> Result<BoxStream<pb::list_resource::Event>, Diagnostics> {
        let entry = self.parts.find_list(KIND, &request.type_name)?;
        let resource = self.parts.find_resource("resource", &request.type_name)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let identity = resource
            .handler
            .identity_schema()
            .unwrap_or_else(|| IdentitySchema::new(0));
        let shape = Shape {
            identity: identity.ty(),
            resource: resource.ty().clone(),
        };
        let cx = self.context(None, None)?;
        // Terraform sends its own limit; none is "all of them".
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let list = ListRequest {
            config,
            include_resource: request.include_resource_object,
            limit: limit.unwrap_or(0),
        };

        let (items, received) = mpsc::channel(ITEMS_IN_FLIGHT);
        let handler = Arc::clone(&entry.handler);
        let span = tracing::debug_span!("rpc", rpc = "ListResource", subject = %request.type_name);
        // A task of its own: it goes on while the host takes its time. It ends when the host has gone,
        // because then nothing can be pushed.
        let listing = tokio::spawn(
            async move {
                let sink = ListSink { items };
                let call = handler.list(&cx, list, &sink);
                let result = guard("ListResource", call).await;
                let mut diagnostics = cx.take_warnings();
                match result {
                    Ok(Ok(())) => {}
                    Ok(Err(problem)) => diagnostics.extend(problem),
                    Err(panic) => diagnostics.push(Diagnostic::panic(&panic)),
                }
                diagnostics
            }
            .instrument(span),
        );
        let events = ReceiverStream::new(received)
            .take(limit.unwrap_or(usize::MAX))
            .map(move |item| event(item, &shape));
        let rest = stream::once(async move {
            listing
                .await
                .unwrap_or_else(|error| Diagnostic::bug(format_args!("the listing ended: {error}")).into())
        })
        .filter_map(|rest| async move {
            if rest.is_empty() {
                None
            } else {
                Some(failure(rest))
            }
        });
        Ok(Box::pin(events.chain(rest).map(Ok)))
    }
}

fn event(item: ListItem, shape: &Shape) -> pb::list_resource::Event {
    let ListItem {
        identity,
        display_name,
        resource,
        mut diagnostics,
    } = item;
    let identity = identity.conform(&shape.identity).map_err(Diagnostics::from);
    let identity = match identity.and_then(|identity| convert::identity(&identity, &shape.identity)) {
        Ok(identity) => Some(identity),
        Err(problem) => {
            diagnostics.extend(problem);
            None
        }
    };
    let resource = resource.map(|resource| {
        let conformed = resource.conform(&shape.resource).map_err(Diagnostics::from);
        conformed.and_then(|resource| convert::dynamic(&resource, &shape.resource))
    });
    let resource_object = match resource.transpose() {
        Ok(resource) => resource,
        Err(problem) => {
            diagnostics.extend(problem);
            None
        }
    };
    pb::list_resource::Event {
        identity,
        display_name,
        resource_object,
        diagnostic: convert::diagnostics(diagnostics),
    }
}

fn failure(diagnostics: Diagnostics) -> pb::list_resource::Event {
    pb::list_resource::Event {
        diagnostic: convert::diagnostics(diagnostics),
        ..pb::list_resource::Event::default()
    }
}
