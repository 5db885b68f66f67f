//! The generated wire types, one module a protocol file. Nothing is written by hand here; the files in `proto/`
//! carry the explanations.

/// The provider protocol: the service Terraform calls, and every message of it.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// The services beside the provider: controller, broker, standard streams.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod plugin {
    tonic::include_proto!("plugin");
}

/// The standard gRPC health service.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
