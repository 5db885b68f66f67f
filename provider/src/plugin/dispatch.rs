//! Which service answers a call, and what a call is: a task of its own.
//!
//! A call runs in a tracked task and not inside the connection, for two reasons. When the host dies, its
//! connection closes, and work inside the connection would be dropped where it stands; a task gets the stop
//! signal and time to leave things tidy. And a panic that nobody caught ends one call, not the connection.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::task::JoinError;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use super::{
    panic::{PanicReport, guard},
    proto::{
        health::health_server::HealthServer,
        plugin::{
            grpc_broker_server::GrpcBrokerServer, grpc_controller_server::GrpcControllerServer,
            grpc_stdio_server::GrpcStdioServer,
        },
        tfplugin6::provider_server::{Provider, ProviderServer},
    },
    services::{Controller, Silent},
};

/// Size limit of one message, both ways, as Go's provider servers have it. The libraries' default of 4 MiB is
/// less than one large state.
const MAX_MESSAGE: usize = 256 << 20;

/// All services of the process.
pub(super) struct Services<P> {
    provider: ProviderServer<P>,
    controller: GrpcControllerServer<Controller>,
    broker: GrpcBrokerServer<Silent>,
    stdio: GrpcStdioServer<Silent>,
    health: HealthServer<Silent>,
    /// Every running call of the provider.
    calls: TaskTracker,
}

impl<P: Provider> Services<P> {
    /// Puts the services around `provider`. `ended` is when the server ends, `calls` counts the running calls.
    pub(super) fn new(
        provider: P,
        controller: Controller,
        ended: CancellationToken,
        calls: TaskTracker,
    ) -> Self {
        let silent = Silent { ended };
        Self {
            provider: ProviderServer::new(provider)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            controller: GrpcControllerServer::new(controller),
            broker: GrpcBrokerServer::new(silent.clone()),
            stdio: GrpcStdioServer::new(silent.clone()),
            health: HealthServer::new(silent),
            calls,
        }
    }
}

// By hand, because a derive would ask `P` to be `Clone`.
impl<P> Clone for Services<P> {
    fn clone(&self) -> Self {
        Self {
            provider: self.provider.clone(),
            controller: self.controller.clone(),
            broker: self.broker.clone(),
            stdio: self.stdio.clone(),
            health: self.health.clone(),
            calls: self.calls.clone(),
        }
    }
}

type Answer = Result<Response<Body>, Infallible>;

impl<P: Provider> Service<Request<Body>> for Services<P> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A gRPC path is `/package.Service/Method`.
        let path = request.uri().path().to_owned();
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match service {
            <ProviderServer<P>>::NAME => {
                let answer = self.provider.call(request);
                let call = self.calls.spawn(async move { guard(&path, answer).await });
                Box::pin(async move { Ok(settle(call.await)) })
            }
            <GrpcControllerServer<Controller>>::NAME => self.controller.call(request),
            <GrpcBrokerServer<Silent>>::NAME => self.broker.call(request),
            <GrpcStdioServer<Silent>>::NAME => self.stdio.call(request),
            <HealthServer<Silent>>::NAME => self.health.call(request),
            unknown => {
                let status = Status::unimplemented(format!("there is no service `{unknown}`"));
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}

/// The answer of a call, also when its task has none.
fn settle(call: Result<Result<Answer, PanicReport>, JoinError>) -> Response<Body> {
    match call {
        Ok(Ok(Ok(response))) => response,
        // A last resort: whoever implements the provider has more to lose than an answer, and guards itself.
        Ok(Err(report)) => Status::internal(report.to_string()).into_http(),
        Err(_) => Status::cancelled("the provider ended before the call did").into_http(),
    }
}
