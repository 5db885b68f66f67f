//! Lists the files of the Helm chart for `install::chart`, so that a file added to the folder cannot be forgotten, and
//! compiles the protocol file of the persistent connection, without `protoc`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The protocol of the persistent connection.
const STREAM: &str = "delegate_stream.proto";

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
