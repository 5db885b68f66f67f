//! Runs Helm on the embedded chart, and reads what it renders.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::{env, fs};

use delegate_core::install::chart;
use serde_json::Value;
use tempfile::TempDir;

/// Both majors that are supported, by the names `scripts/setup` gives the programs.
pub(crate) const HELMS: [&str; 2] = ["helm3", "helm4"];

pub(crate) const RELEASE: &str = "golden";
pub(crate) const NAMESPACE: &str = "delegates";

/// The delegate token in all values files: as the product shows it, and the digits inside.
pub(crate) const TOKEN: &str = "MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY=";
pub(crate) const TOKEN_DIGITS: &str = "000102030405060708090a0b0c0d0e0f";

/// One Helm program, with the chart unpacked and a home of its own.
pub(crate) struct Helm {
    program: PathBuf,
    pub(crate) name: &'static str,
    dir: TempDir,
    chart: PathBuf,
}

impl Helm {
    /// # Panics
    /// When the program is not installed: a check of the chart that did not run is not a check.
    pub(crate) fn new(name: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chart = chart::write_to(dir.path()).unwrap();
        let program = find(name).unwrap_or_else(|| {
            panic!(
                "there is no {name} in the tools' folder or on the PATH: run scripts/setup, or set {}",
                variable(name)
            )
        });
        Self {
            program,
            name,
            dir,
            chart,
        }
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("KUBECONFIG", "/dev/null")
            .output()
            .unwrap()
    }

    /// `helm template` with a values file, and values on the command line.
    pub(crate) fn template(&self, values: Option<&Path>, set: &[&str]) -> Output {
        self.with_values(
            &["template", RELEASE, "CHART", "--namespace", NAMESPACE],
            values,
            set,
        )
    }

    /// The same for a version of Kubernetes.
    pub(crate) fn template_for(&self, kubernetes: &str, set: &[&str]) -> Output {
        let mut command = vec!["template", RELEASE, "CHART", "--namespace", NAMESPACE];
        command.extend(["--kube-version", kubernetes]);
        self.with_values(&command, None, set)
    }

    pub(crate) fn lint(&self, values: Option<&Path>) -> Output {
        self.with_values(&["lint", "--strict", "CHART"], values, &[])
    }

    fn with_values(&self, command: &[&str], values: Option<&Path>, set: &[&str]) -> Output {
        let mut args: Vec<PathBuf> = command.iter().map(PathBuf::from).collect();
        for arg in &mut args {
            if arg == Path::new("CHART") {
                arg.clone_from(&self.chart);
            }
        }
        if let Some(file) = values {
            args.extend(["--values".into(), file.to_owned()]);
        }
        for pair in set {
            args.extend(["--set".into(), pair.into()]);
        }
        self.run(args)
    }

    /// What `template` printed.
    ///
    /// # Panics
    /// When Helm refused the values.
    pub(crate) fn rendered(&self, values: Option<&Path>, set: &[&str]) -> String {
        let output = self.template(values, set);
        assert!(
            output.status.success(),
            "{}: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

fn variable(helm: &str) -> String {
    helm.to_uppercase()
}

/// `$HELM3` or `$HELM4`; else the folder `scripts/setup` fills; else the PATH.
fn find(name: &str) -> Option<PathBuf> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = folder("HARNESS_DELEGATE_CACHE").or_else(|| {
        let base = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
        Some(base.join("harness-delegate"))
    });
    let on_path = env::var_os("PATH").unwrap_or_default();
    let folders = cache
        .map(|cache| cache.join("bin"))
        .into_iter()
        .chain(env::split_paths(&on_path));
    folder(&variable(name))
        .into_iter()
        .chain(folders.map(|folder| folder.join(name)))
        .find(|program| program.is_file())
}

/// The rendered objects, in order. Read as YAML 1.2 while Helm and Kubernetes read 1.1: a value on which the two disagree
/// shows up as a wrong type.
pub(crate) fn objects(rendered: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(rendered).unwrap()
}

/// The rendered objects of the minimal values with `set` added, by `Kind/name`.
pub(crate) fn objects_with(set: &[&str]) -> BTreeMap<String, Value> {
    let token = format!("delegateToken={TOKEN}");
    let mut all = vec!["accountId=golden-account", &token];
    all.extend(set);
    by_name(objects(&Helm::new("helm3").rendered(None, &all)))
}

pub(crate) fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let count = objects.len();
    let map: BTreeMap<_, _> = objects.into_iter().map(|object| (id(&object), object)).collect();
    assert_eq!(map.len(), count, "two objects have one name");
    map
}

/// `Kind/name`.
pub(crate) fn id(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

pub(crate) fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret"
}

/// The values files beside the golden files, by case name.
pub(crate) fn cases() -> BTreeMap<String, PathBuf> {
    let found: BTreeMap<_, _> = fs::read_dir(golden_dir())
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let case = path
                .file_name()?
                .to_str()?
                .strip_suffix(".values.yaml")?
                .to_owned();
            Some((case, path))
        })
        .collect();
    assert!(
        found.len() >= 12,
        "only these cases were found: {:?}",
        found.keys()
    );
    found
}

pub(crate) fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart")
}

/// The objects of one case, by `Kind/name`. All cases are rendered once, at the first call.
pub(crate) fn case(name: &str) -> BTreeMap<String, Value> {
    static RENDERED: LazyLock<BTreeMap<String, BTreeMap<String, Value>>> = LazyLock::new(|| {
        let helm = Helm::new("helm3");
        let render = |values: &Path| by_name(objects(&helm.rendered(Some(values), &[])));
        cases()
            .into_iter()
            .map(|(name, values)| (name, render(&values)))
            .collect()
    });
    RENDERED[name].clone()
}
