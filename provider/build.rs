//! Compiles the protocol files into Rust, without `protoc`.

use std::error::Error;

const FILES: [&str; 3] = ["tfplugin6.proto", "plugin.proto", "health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed=proto/{file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        // Values pass through us undecoded in places: a reference into the received buffer costs nothing.
        .bytes(".")
        // The same schema must give the same bytes each time.
        .btree_map(".")
        // A provider answers what it can; hosts take "unimplemented" for the rest.
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
