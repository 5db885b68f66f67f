//! The provider's start: from exec to the line that Terraform waits for, and what it then holds in memory.

use std::process::Stdio;
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use harness_provider::plugin::proto::tfplugin6::get_provider_schema;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};

use crate::plugin_client::{HostIdentity, PluginProcess, Show, host_command};
use crate::report::{Figure, Report, Unit, mebibytes};
use crate::site::{Memory, memory};
use crate::{Outcome, Programs};

/// Starts the provider as Terraform does, with a P-521 certificate in `PLUGIN_CLIENT_CERT`, connects with it, and asks for
/// the schemas, so that what is measured is a provider that works.
pub(crate) async fn measure(programs: &Programs, runs: usize, report: &mut Report) -> Outcome<()> {
    let identity = HostIdentity::new();
    let (mut lines, mut resident, mut anonymous, mut schemas) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut command = host_command(&programs.provider, Some(&identity));
        let started = Instant::now();
        let mut process = PluginProcess::start(&mut command).await;
        lines.push(Unit::Milliseconds.of(started.elapsed()));
        let pid = process.child.id().ok_or("the provider ended")?;
        let Memory { rss, anon } = memory(pid)?;
        resident.push(mebibytes(rss));
        anonymous.push(mebibytes(anon));

        let channel = process.handshake.connect(Show::Certificate(&identity)).await?;
        let mut client = Grpc::new(channel);
        client.ready().await?;
        let asked = Instant::now();
        let path = PathAndQuery::from_static("/tfplugin6.Provider/GetProviderSchema");
        let reply = client.unary(Request::new(()), path, Unread).await?;
        schemas.push(Unit::Milliseconds.of(asked.elapsed()));
        let reply = get_provider_schema::Response::decode(reply.into_inner())?;
        if !reply.resource_schemas.contains_key("harness_delegate") {
            return Err("the provider has no harness_delegate".into());
        }
        process.child.kill().await?;
    }
    report.add(Figure {
        id: "provider_handshake",
        what: "provider: exec → handshake line, mutual TLS".to_owned(),
        unit: Unit::Milliseconds,
        samples: lines,
        target: Some(5.0),
        beside: "helm provider 3.1.2: 67–74 ms",
    });
    report.add(Figure {
        id: "floor_exec_line",
        what: "  floor: exec → a line of /bin/echo".to_owned(),
        unit: Unit::Milliseconds,
        samples: echo_lines(runs).await?,
        target: None,
        beside: "what starting any process costs",
    });
    report.add(Figure {
        id: "provider_schema",
        what: "  then: GetProviderSchema".to_owned(),
        unit: Unit::Milliseconds,
        samples: schemas,
        target: Some(2.0),
        beside: "first call on the connection",
    });
    report.add(Figure {
        id: "provider_resident",
        what: "provider: resident after the handshake".to_owned(),
        unit: Unit::Mebibytes,
        samples: resident,
        target: Some(12.0),
        beside: "helm provider 3.1.2: 58–90 MiB",
    });
    report.add(Figure {
        id: "provider_anonymous",
        what: "  of it anonymous".to_owned(),
        unit: Unit::Mebibytes,
        samples: anonymous,
        target: None,
        beside: "the rest is the program's own pages, which the kernel may drop",
    });
    Ok(())
}

async fn echo_lines(runs: usize) -> Outcome<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        let mut child = Command::new("/bin/echo")
            .arg("line")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        stdout.read_line(&mut String::new()).await?;
        samples.push(Unit::Milliseconds.of(started.elapsed()));
        child.wait().await?;
    }
    Ok(samples)
}

/// An empty message there, and bytes back: reading the schemas takes a client longer than it takes the
/// provider to write them.
#[derive(Clone, Copy)]
struct Unread;

impl Codec for Unread {
    type Encode = ();
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Unread {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for Unread {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
