//! The Docker engine that tests may use, and images that go with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::delegate::Delegate;

/// A program that needs no library, for images made of nothing else.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// An engine that answers, and a label that is on whatever a test makes there.
pub(crate) struct Engine {
    program: PathBuf,
    /// Lower-case and unique: part of names, too.
    pub(crate) mark: String,
    busybox: PathBuf,
}

impl Engine {
    /// Says so and gives nothing where there is none.
    pub(crate) fn find() -> Option<Self> {
        let skip = |reason: &str| {
            eprintln!("SKIPPED: {reason}");
            None
        };
        let Some(program) = clients().into_iter().next() else {
            return skip("the program docker is not in PATH (scripts/setup docker installs it)");
        };
        let answer = Command::new(&program)
            .args(["version", "--format", "{{.Server.Version}}"])
            .output();
        if !answer.unwrap().status.success() {
            return skip("no Docker engine answers (scripts/engine up starts one)");
        }
        let Some(busybox) = BUSYBOX
            .into_iter()
            .map(PathBuf::from)
            .find(|path| is_static(path))
        else {
            return skip("there is no static busybox (scripts/setup static installs it)");
        };
        Some(Self {
            program,
            mark: format!("harness-kind-{:016x}", fastrand::u64(..)),
            busybox,
        })
    }

    pub(crate) fn docker(&self, args: &[&str]) -> Output {
        Command::new(&self.program).args(args).output().unwrap()
    }

    /// What the engine says of something, or nothing when it has no such thing.
    pub(crate) fn ask(&self, args: &[&str]) -> String {
        String::from_utf8(self.docker(args).stdout)
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Puts a folder with a Dockerfile and busybox into the workspace of a delegate. Each image has the mark, from its first
    /// layer on.
    pub(crate) fn folder(&self, delegate: &Delegate, name: &str, steps: &str) -> PathBuf {
        let folder = delegate.path("workspace").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(&self.busybox, folder.join("busybox")).unwrap();
        fs::write(folder.join("Dockerfile"), self.dockerfile(steps)).unwrap();
        folder
    }

    pub(crate) fn dockerfile(&self, steps: &str) -> String {
        format!(
            "FROM scratch AS base\nLABEL {}=1\nCOPY busybox /bin/busybox\n{steps}\n",
            self.mark
        )
    }

    /// A delegate whose own engine it is.
    pub(crate) fn delegate() -> Delegate {
        let mut delegate = Delegate::new();
        // Whoever runs the tests may have set it by a context.
        if let Some(host) = std::env::var_os("DOCKER_HOST") {
            delegate.settings.environment.set("DOCKER_HOST", host);
        }
        delegate
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let label = format!("label={}", self.mark);
        // Those that others are made from go when those are gone.
        for _ in 0..8 {
            let images = self.ask(&["images", "--all", "--quiet", "--no-trunc", "--filter", &label]);
            let images: Vec<&str> = images.lines().collect();
            if images.is_empty() {
                return;
            }
            let mut args = vec!["rmi", "--force"];
            args.extend(images);
            let _ = self.docker(&args);
        }
    }
}

/// Every `docker` in the `PATH`: they differ in what they can do.
pub(crate) fn clients() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in std::env::split_paths(&path) {
        let Ok(program) = folder.join("docker").canonicalize() else {
            continue;
        };
        if !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

/// Makes a delegate use this client.
pub(crate) fn use_client(delegate: &mut Delegate, program: &Path) {
    let folder = delegate.path("client");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(program, folder.join("docker")).unwrap();
    let path = delegate.settings.environment.get("PATH").unwrap().to_owned();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path))).unwrap();
    delegate.settings.environment.set("PATH", path);
}

/// Whether it starts where nothing else is.
fn is_static(path: &Path) -> bool {
    let ldd = Command::new("ldd").arg(path).output();
    path.exists() && ldd.is_ok_and(|output| !String::from_utf8_lossy(&output.stdout).contains("=>"))
}
