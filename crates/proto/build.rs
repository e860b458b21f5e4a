//! Compiles `proto/` without protoc.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

const ROOT: &str = "../../proto";

const FILES: [&str; 5] = [
    "postrider/v1/audit.proto",
    "postrider/v1/ingest.proto",
    "postrider/v1/endpoint.proto",
    "postrider/v1/history.proto",
    "postrider/pipeline/v1/pipeline.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!(
            "cargo::rerun-if-changed={}",
            Path::new(ROOT).join(file).display()
        );
    }
    let descriptors = protox::compile(FILES, [ROOT])?;
    let public = protox::compile(&FILES[..4], [ROOT])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("postrider.v1.bin"), public.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
