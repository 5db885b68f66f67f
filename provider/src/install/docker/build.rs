//! An image of the agent for engines that have none and no registry to get one from: the delegate's program, and the
//! static shell of this machine, as one layer. No builder and no base image take part: the archive is loaded as it is.
//!
//! Its name tells its content, so what is there already is not built again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bollard::query_parameters::ImportImageOptionsBuilder;
use delegate_core::install::host::{FileStamp, digest_file};
use delegate_core::process::{Command, Environment, Limits};
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::{DockerError, Engine};

/// Goes up with every change of what is put into an image.
const RECIPE: &str = "1";

/// Folder of the delegate, as in the official image.
const HOME: &str = "/opt/harness-delegate";

/// Authorities of this machine, as every distribution of Linux that has them names the file.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// How long `busybox` may take to name its commands, and how many bytes of names there may be; it has about 400.
const LIST_LIMIT: Duration = Duration::from_secs(10);
const LIST_BYTES: usize = 64 << 10;

/// The names of what was built, by program. Reading 20 MB for each of fifty delegates would be most of a plan.
#[derive(Default)]
pub(super) struct Images {
    names: Mutex<HashMap<PathBuf, (FileStamp, String)>>,
}

impl Images {
    /// The name of the image of a program.
    ///
    /// # Errors
    /// When there is no such program, or no shell to go with it.
    pub(super) fn name_of(&self, program: &Path) -> Result<String, DockerError> {
        let unreadable = |error: &dyn std::fmt::Display| {
            DockerError::Build(format!(
                "{} cannot be read ({error}); the program harness-delegate comes with the provider and is looked for beside it",
                program.display()
            ))
        };
        let stamp = FileStamp::of(program).map_err(|error| unreadable(&error))?;
        if let Ok(names) = self.names.lock()
            && let Some((known, name)) = names.get(program)
            && *known == stamp
        {
            return Ok(name.clone());
        }
        let shell = shell()?;
        let mut all = Sha256::new();
        all.update(RECIPE);
        for file in std::iter::once(program).chain(shell.files()) {
            all.update(digest_file(file).map_err(|error| unreadable(&error))?);
        }
        let name = format!("harness-delegate:{}", hex(&all.finalize()[..6]));
        if let Ok(mut names) = self.names.lock() {
            names.insert(program.to_owned(), (stamp, name.clone()));
        }
        Ok(name)
    }
}

/// The static programs that scripts need.
struct Shell {
    busybox: PathBuf,
    bash: Option<PathBuf>,
}

impl Shell {
    fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.busybox.as_path()).chain(self.bash.as_deref())
    }
}

fn shell() -> Result<Shell, DockerError> {
    let environment = Environment::of_this_process(&[]);
    let find = |name: &str| {
        let program = environment.find_program(name)?;
        machine_of(&program).is_ok().then_some(program)
    };
    let busybox = find("busybox").ok_or_else(|| {
        DockerError::Build(
            "scripts need a shell, and there is no static busybox on the PATH (Debian has it as busybox-static)".to_owned(),
        )
    })?;
    let bash = find("bash-static");
    Ok(Shell { busybox, bash })
}

/// The architecture of a static program, by the name that images have for it.
fn machine_of(program: &Path) -> Result<&'static str, String> {
    /// Bytes of a 64-bit ELF header, and of one of its program headers.
    const HEADER: usize = 64;
    const ENTRY: usize = 56;
    /// Kind of the program header that names a dynamic loader.
    const INTERPRETER: u32 = 3;
    let file = File::open(program).map_err(|error| error.to_string())?;
    let mut header = [0; HEADER];
    if file.read_exact_at(&mut header, 0).is_err() || header[..5] != *b"\x7fELF\x02" {
        return Err("it is no 64-bit Linux program".to_owned());
    }
    let short = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let table = u64::from_le_bytes(std::array::from_fn(|at| header[32 + at]));
    for index in 0..short(56) {
        let mut entry = [0; ENTRY];
        let at = table.saturating_add(index * short(54));
        file.read_exact_at(&mut entry, at)
            .map_err(|error| error.to_string())?;
        if u32::from_le_bytes(std::array::from_fn(|at| entry[at])) == INTERPRETER {
            return Err(
                "it needs shared libraries, and the image would have none; take the static one of a release"
                    .to_owned(),
            );
        }
    }
    match short(18) {
        62 => Ok("amd64"),
        183 => Ok("arm64"),
        machine => Err(format!("it is for a machine of the unknown kind {machine}")),
    }
}

/// Builds the image and loads it into the engine.
///
/// # Errors
/// What cannot be packed, and what the engine says against it.
pub(super) async fn load(
    engine: &Engine,
    program: &Path,
    name: &str,
    stop: &CancellationToken,
) -> Result<(), DockerError> {
    let machine = machine_of(program)
        .map_err(|problem| DockerError::Build(format!("{}: {problem}", program.display())))?;
    let version = engine
        .docker
        .version()
        .await
        .map_err(|error| engine.told("tell its version", error))?;
    if version.arch.as_deref().is_some_and(|arch| arch != machine) {
        return Err(DockerError::Build(format!(
            "{} is for {machine}, and the engine for {}",
            program.display(),
            version.arch.unwrap_or_default()
        )));
    }
    let shell = shell()?;
    let commands = commands(&shell, stop).await?;
    let (program, name_of_it) = (program.to_owned(), name.to_owned());
    let packed =
        tokio::task::spawn_blocking(move || archive(&program, &shell, &commands, machine, &name_of_it)).await;
    let packed = packed
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|error| DockerError::Build(format!("it cannot be packed: {error}; check TMPDIR")))?;
    tracing::info!(image = name, "loading the image of the agent");
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    let stream = ReaderStream::new(tokio::fs::File::from_std(packed));
    let mut answer = std::pin::pin!(engine.docker.import_image_stream(options, stream, None));
    while let Some(step) = answer.next().await {
        step.map_err(|error| engine.told("load the image of the agent", error))?;
    }
    Ok(())
}

/// The names by which busybox can be called.
async fn commands(shell: &Shell, stop: &CancellationToken) -> Result<Vec<String>, DockerError> {
    let command = Command::new(&shell.busybox, Environment::of_this_process(&[]))
        .arg("--list-full")
        .limits(Limits {
            timeout: Some(LIST_LIMIT),
            ..Limits::default()
        });
    let captured = command.capture(stop, LIST_BYTES).await;
    let captured = captured.map_err(|error| DockerError::Build(format!("busybox does not run: {error}")))?;
    let text = String::from_utf8_lossy(&captured.stdout).into_owned();
    let plain = |line: &&str| !line.is_empty() && !line.starts_with('/') && !line.contains("..");
    Ok(text
        .lines()
        .map(str::trim)
        .filter(plain)
        .map(str::to_owned)
        .collect())
}

/// The archive that an engine loads, in a file without a name.
fn archive(
    program: &Path,
    shell: &Shell,
    commands: &[String],
    machine: &str,
    name: &str,
) -> std::io::Result<File> {
    let mut layer = tempfile::tempfile()?;
    root(&layer, program, shell, commands)?;
    let (size, digest) = measure(&mut layer)?;
    let config = json!({
        "architecture": machine, "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": "1001", "WorkingDir": HOME, "Entrypoint": ["/usr/local/bin/harness-delegate"], "Cmd": ["run"],
            "ExposedPorts": { "3460/tcp": {} },
            "Env": [
                format!("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:{HOME}/custom-client-tools"),
                format!("HOME={HOME}"), format!("WORKING_DIR={HOME}"), "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            ],
            "Healthcheck": {
                "Test": ["CMD-SHELL", "wget -q -O /dev/null \"http://127.0.0.1:${DELEGATE_HTTP_PORT:-3460}/api/health\""],
                "Interval": 10_000_000_000_u64, "Timeout": 1_000_000_000, "StartPeriod": 10_000_000_000_u64, "Retries": 3,
            },
            "Labels": { "org.opencontainers.image.title": "harness-delegate" },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created": "1970-01-01T00:00:00Z" }],
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let layer_name = format!("{digest}.tar");
    let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": [layer_name] }]).to_string();
    let file = tempfile::tempfile()?;
    let mut archive = tar::Builder::new(&file);
    let mut add = |name: &str, size: u64, content: &mut dyn std::io::Read| {
        archive.append_data(&mut header(size, 0o644), name, content)
    };
    add("manifest.json", manifest.len() as u64, &mut manifest.as_bytes())?;
    add(&config_name, config.len() as u64, &mut config.as_bytes())?;
    add(&layer_name, size, &mut layer)?;
    archive.into_inner()?.flush()?;
    rewind(file)
}

/// The one layer.
fn root(file: &File, program: &Path, shell: &Shell, commands: &[String]) -> std::io::Result<()> {
    let mut layer = tar::Builder::new(file);
    let folders = [
        "bin",
        "sbin",
        "etc",
        "etc/ssl",
        "etc/ssl/certs",
        "opt",
        "run",
        "usr",
        "usr/bin",
        "usr/sbin",
        "usr/local",
        "usr/local/bin",
    ];
    let writable = [
        "opt/harness-delegate",
        "opt/harness-delegate/ca-bundle",
        "opt/harness-delegate/custom-client-tools",
    ];
    let modes = folders.map(|folder| (folder, 0o755)).into_iter();
    // Whatever user it runs as, its group is 0.
    let modes = modes
        .chain(writable.map(|folder| (folder, 0o775)))
        .chain([("tmp", 0o1777)]);
    for (folder, mode) in modes {
        let mut header = header(0, mode);
        header.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut header, folder, std::io::empty())?;
    }
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\nharness:x:1001:0:harness:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    );
    let authorities = AUTHORITIES
        .iter()
        .find_map(|file| std::fs::read(file).ok())
        .unwrap_or_default();
    for (name, content) in [
        ("etc/passwd", passwd.as_bytes()),
        ("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
        ("etc/nsswitch.conf", b"hosts: files dns\n"),
        ("etc/ssl/certs/ca-certificates.crt", &authorities),
    ] {
        layer.append_data(&mut header(content.len() as u64, 0o644), name, content)?;
    }
    let mut programs = vec![
        ("usr/local/bin/harness-delegate", program),
        ("bin/busybox", shell.busybox.as_path()),
    ];
    programs.extend(shell.bash.as_deref().map(|bash| ("bin/bash", bash)));
    for (name, program) in &programs {
        let content = File::open(program)?;
        let size = content.metadata()?.len();
        layer.append_data(&mut header(size, 0o755), name, content)?;
    }
    for command in commands
        .iter()
        .filter(|command| programs.iter().all(|(name, _)| name != command))
    {
        let mut header = header(0, 0o777);
        header.set_entry_type(tar::EntryType::Symlink);
        layer.append_link(&mut header, command, "/bin/busybox")?;
    }
    layer.into_inner()?.flush()
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn measure(file: &mut File) -> std::io::Result<(u64, String)> {
    let mut whole = rewind(file.try_clone()?)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let length = whole.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        size += length as u64;
        digest.update(&buffer[..length]);
    }
    rewind(whole)?;
    Ok((size, hex(&digest.finalize())))
}

fn rewind(mut file: File) -> std::io::Result<File> {
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
