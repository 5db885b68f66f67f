//! The program Terraform starts.

use std::process::ExitCode;

use harness_provider::plugin::{self, ServeOptions, StopSignal};

const OPTIONS: ServeOptions = ServeOptions {
    name: "harness",
    version: env!("CARGO_PKG_VERSION"),
    source: "terraform.local/harness/harness",
    log_targets: &["harness_provider", "delegate_core"],
};

fn main() -> ExitCode {
    plugin::run(OPTIONS, std::env::args_os().skip(1), placeholder::Provider::new)
}

mod placeholder {
    //! A provider without resources, in the place of the one to come.

    use harness_provider::plugin::proto::tfplugin6 as wire;
    use tonic::{Request, Response, Status};

    use super::StopSignal;

    pub(super) struct Provider {
        stop: StopSignal,
    }

    impl Provider {
        pub(super) fn new(stop: StopSignal) -> Self {
            Self { stop }
        }
    }

    #[tonic::async_trait]
    impl wire::provider_server::Provider for Provider {
        async fn get_provider_schema(
            &self,
            _request: Request<wire::get_provider_schema::Request>,
        ) -> Result<Response<wire::get_provider_schema::Response>, Status> {
            let provider = wire::Schema {
                version: 0,
                block: Some(wire::schema::Block::default()),
            };
            Ok(Response::new(wire::get_provider_schema::Response {
                provider: Some(provider),
                ..Default::default()
            }))
        }

        async fn stop_provider(
            &self,
            _request: Request<wire::stop_provider::Request>,
        ) -> Result<Response<wire::stop_provider::Response>, Status> {
            self.stop.stop();
            Ok(Response::new(wire::stop_provider::Response::default()))
        }
    }
}
