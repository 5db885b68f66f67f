//! Actions: planned, then invoked with a stream of what they are at.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tracing::Instrument;

use super::{ProviderServer, deferral, validate, with_warnings};
use crate::framework::convert;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::traits::{Progress, Provider};
use crate::plugin::guard;
use crate::plugin::proto::tfplugin6 as pb;

const KIND: &str = "action";
/// Messages that wait for the host. More are dropped: a person reads the last ones anyway.
const MESSAGES_IN_FLIGHT: usize = 64;

impl<P: Provider> ProviderServer<P> {
    pub(super) async fn validate_action(
        &self,
        request: &pb::validate_action_config::Request,
    ) -> Result<pb::validate_action_config::Response, Diagnostics> {
        let entry = self.parts.find_action(KIND, &request.type_name)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let cx = self.context(None, None)?;
        let diagnostics = validate(entry.schema(), &config, &cx, entry.handler.validate(&cx, &config)).await;
        Ok(pb::validate_action_config::Response {
            diagnostics: convert::diagnostics(diagnostics),
        })
    }

    pub(super) async fn plan_one_action(
        &self,
        request: &pb::plan_action::Request,
    ) -> Result<pb::plan_action::Response, Diagnostics> {
        let entry = self.parts.find_action(KIND, &request.action_type)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let cx = self.context(request.client_capabilities.as_ref(), None)?;
        let (deferred, warnings) = with_warnings(&cx, entry.handler.plan(&cx, &config).await)?;
        let deferred = deferred.map(|reason| deferral(cx.client, reason)).transpose()?;
        Ok(pb::plan_action::Response {
            diagnostics: convert::diagnostics(warnings),
            deferred,
        })
    }

    pub(super) fn invoke(&self, request: &pb::invoke_action::Request) -> BoxStream<pb::invoke_action::Event> {
        match self.start_action(request) {
            Ok(events) => events,
            Err(problem) => Box::pin(stream::iter([Ok(completed(problem))])),
        }
    }

    fn start_action(
        &self,
        request: &pb::invoke_action::Request,
    ) -> Result<BoxStream<pb::invoke_action::Event>, Diagnostics> {
        let entry = self.parts.find_action(KIND, &request.action_type)?;
        let config = convert::value(request.config.as_ref(), entry.ty())?;
        let cx = self.context(request.client_capabilities.as_ref(), None)?;
        let (messages, received) = mpsc::channel(MESSAGES_IN_FLIGHT);
        let handler = Arc::clone(&entry.handler);
        let span = tracing::debug_span!("rpc", rpc = "InvokeAction", subject = %request.action_type);
        let doing = tokio::spawn(
            async move {
                let progress = Progress { messages };
                let result = guard("InvokeAction", handler.invoke(&cx, &config, &progress)).await;
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
        let messages = ReceiverStream::new(received).map(|message| pb::invoke_action::Event {
            r#type: Some(pb::invoke_action::event::Type::Progress(
                pb::invoke_action::event::Progress { message },
            )),
        });
        let end =
            stream::once(async move {
                completed(doing.await.unwrap_or_else(|error| {
                    Diagnostic::bug(format_args!("the action ended: {error}")).into()
                }))
            });
        Ok(Box::pin(messages.chain(end).map(Ok)))
    }
}

fn completed(diagnostics: Diagnostics) -> pb::invoke_action::Event {
    let completed = pb::invoke_action::event::Completed {
        diagnostics: convert::diagnostics(diagnostics),
    };
    pb::invoke_action::Event {
        r#type: Some(pb::invoke_action::event::Type::Completed(completed)),
    }
}
