//! Lists the files of the Helm chart for `install::chart`, so that a file added to the folder cannot be forgotten, and
//! compiles the protocol files of the persistent connection and of the export by OpenTelemetry, without `protoc`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The protocol of the persistent connection.
const STREAM: &str = "delegate_stream.proto";

/// What is exported by OpenTelemetry.
const OTLP: &str = "otlp.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // A folder: cargo looks at everything in it.
    println!("cargo::rerun-if-changed=chart");
    println!("cargo::rerun-if-changed=proto");
    list_chart()?;
    tonic_prost_build::configure()
        // A task may have 16 MiB: a reference into the received buffer costs nothing.
        .bytes(".")
        // The stream goes through our own HTTP client and server.
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .compile_fds(protox::compile([STREAM], ["proto"])?)?;
    compile_otlp()
}

/// The same messages are sent as protocol buffers and as JSON. In JSON, ids are hexadecimal and 64-bit numbers are
/// texts: the rules of OTLP/JSON, which differ from the usual ones in the former.
fn compile_otlp() -> Result<(), Box<dyn Error>> {
    let mut build = tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .type_attribute(".", "#[derive(serde::Serialize)]")
        .type_attribute(".", "#[serde(rename_all = \"camelCase\")]")
        // Without its package: with it, it would mean what is in it as well.
        .field_attribute("Metric.data", "#[serde(flatten)]");
    for (field, how) in [
        ("trace_id", "hex"),
        ("span_id", "hex"),
        ("parent_span_id", "hex"),
        ("start_time_unix_nano", "text"),
        ("end_time_unix_nano", "text"),
        ("time_unix_nano", "text"),
        (".otlp.HistogramDataPoint.count", "text"),
        ("bucket_counts", "texts"),
    ] {
        let attribute = format!("#[serde(serialize_with = \"crate::protocol::otlp::json::{how}\")]");
        build = build.field_attribute(field, attribute);
    }
    build.compile_fds(protox::compile([OTLP], ["proto"])?)?;
    Ok(())
}

fn list_chart() -> io::Result<()> {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?).join("chart");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        // Debug gives a string literal; the name's separator is the one of the chart format.
        let name = name
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        writeln!(
            list,
            "    ({name:?}, include_bytes!({:?})),",
            file.display().to_string()
        )
        .map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    fs::write(PathBuf::from(var("OUT_DIR")?).join("chart_files.rs"), list)
}

fn var(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}
