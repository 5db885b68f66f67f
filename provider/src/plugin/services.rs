//! The services beside the provider that every go-plugin host expects.
//!
//! Only [`Controller`] does something. The host opens the streams of the broker and of the standard streams and
//! then waits on them; they stay silent, and end when the server ends, or else they would hold the connection
//! open until the host loses patience and kills us.

use futures_util::{StreamExt, future, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

use super::proto::{
    health::{
        HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
    },
    plugin::{
        ConnInfo, Empty, StdioData, grpc_broker_server::GrpcBroker, grpc_controller_server::GrpcController,
        grpc_stdio_server::GrpcStdio,
    },
};

/// The name under which go-plugin asks for our health. An empty name means the whole server.
const HEALTH_NAMES: [&str; 2] = ["", "plugin"];

/// What `GRPCController.Shutdown` does.
#[derive(Clone, Debug)]
pub(super) enum Controller {
    /// Ends the server: this host started us.
    Ends(CancellationToken),
    /// Nothing: several hosts attach one after another.
    Stays,
}

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        if let Self::Ends(ended) = self {
            tracing::debug!("the host asks us to end");
            ended.cancel();
        }
        Ok(Response::new(Empty {}))
    }
}

/// The two silent streams.
#[derive(Clone, Debug)]
pub(super) struct Silent {
    /// When the server ends.
    pub(super) ended: CancellationToken,
}

impl Silent {
    fn stream<T: Send + 'static>(&self) -> BoxStream<T> {
        let ended = self.ended.clone().cancelled_owned();
        Box::pin(stream::once(ended).filter_map(|()| future::ready(None)))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Silent {
    async fn start_stream(
        &self,
        _request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<BoxStream<ConnInfo>>, Status> {
        Ok(Response::new(self.stream()))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Silent {
    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<BoxStream<StdioData>>, Status> {
        Ok(Response::new(self.stream()))
    }
}

#[tonic::async_trait]
impl Health for Silent {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if HEALTH_NAMES.contains(&service.as_str()) {
            Ok(Response::new(HealthCheckResponse {
                status: ServingStatus::Serving.into(),
            }))
        } else {
            Err(Status::not_found(format!("there is no service `{service}`")))
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        let known = HEALTH_NAMES.contains(&request.get_ref().service.as_str());
        let status = if known {
            ServingStatus::Serving
        } else {
            ServingStatus::ServiceUnknown
        };
        let now = stream::once(future::ready(Ok(HealthCheckResponse {
            status: status.into(),
        })));
        Ok(Response::new(Box::pin(now.chain(self.stream()))))
    }
}
