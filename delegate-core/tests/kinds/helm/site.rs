//! What the tests of helm stand on: a program, a cluster, a namespace, a chart.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::PATIENCE;
use crate::delegate::Delegate;

/// The helm programs that are here: one of each major version where both are.
pub(super) fn helms() -> Vec<PathBuf> {
    let cache = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/harness-delegate/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(cache).collect();
    let find = |name: &str| {
        folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    };
    let both: Vec<PathBuf> = ["helm3", "helm4"].iter().filter_map(|name| find(name)).collect();
    let helms = if both.is_empty() {
        find("helm").into_iter().collect()
    } else {
        both
    };
    if helms.is_empty() {
        eprintln!("SKIPPED: there is no helm (scripts/setup helm installs it)");
    }
    helms
}

/// One of them: what does not differ between them is proved with either.
pub(super) fn helm(major: u32) -> Option<PathBuf> {
    let wanted = format!("helm{major}");
    let helms = helms();
    let found = helms.iter().find(|helm| helm.ends_with(&wanted));
    found.or_else(|| helms.first()).cloned()
}

/// A delegate with this helm.
pub(super) fn delegate(helm: &Path) -> Delegate {
    let mut delegate = Delegate::new();
    let folder = delegate.path("helm");
    fs::create_dir(&folder).unwrap();
    symlink(helm, folder.join("helm")).unwrap();
    delegate.first_in_path(folder);
    delegate
}

/// A namespace of the test's own, which goes with it, and a delegate that may work there.
pub(super) struct Site {
    pub(super) delegate: Delegate,
    pub(super) namespace: String,
    pub(super) kubeconfig: PathBuf,
    pub(super) image: String,
}

impl Site {
    /// Says why and gives nothing where there is no cluster for tests.
    pub(super) fn new(helm: &Path) -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(kubeconfig), Some(image)) = (
            variable("HARNESS_TEST_KUBECONFIG"),
            variable("HARNESS_TEST_IMAGE"),
        ) else {
            eprintln!(
                "SKIPPED: HARNESS_TEST_KUBECONFIG and HARNESS_TEST_IMAGE name no cluster (scripts/test sets them)"
            );
            return None;
        };
        let mut delegate = delegate(helm);
        delegate.settings.environment.set("KUBECONFIG", "/nowhere");
        delegate.watch(&["helm"]);
        let site = Self {
            delegate,
            namespace: format!("test-helm-{:08x}", fastrand::u32(..)),
            kubeconfig: kubeconfig.into(),
            image,
        };
        site.chart("app");
        Some(site)
    }

    /// A chart in the workspace, with a text, a secret and, when it is asked for, a pod.
    pub(super) fn chart(&self, name: &str) {
        chart(&self.delegate.path(Path::new("workspace").join(name)), name);
    }

    /// A task on the release `app`.
    pub(super) fn task(&self, more: Value) -> Value {
        let mut data = json!({
            "release": "app",
            "namespace": self.namespace,
            "create_namespace": true,
            "cluster": {"kubeconfig": fs::read_to_string(&self.kubeconfig).unwrap()},
            "chart": {"path": "app"},
        });
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        if data["chart"].is_null() {
            data.as_object_mut().unwrap().shift_remove("chart");
        }
        data
    }

    /// What runs in a pod that is ready.
    pub(super) fn runs(&self) -> Value {
        json!({"word": "one", "image": self.image})
    }

    /// A pod that never is.
    pub(super) fn never() -> Value {
        json!({"word": "two", "image": "nowhere.example.com/none:1"})
    }

    /// What the cluster says.
    pub(super) fn kubectl(&self, args: &[&str]) -> String {
        let output = Command::new("kubectl")
            .args(["--namespace", &self.namespace])
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The text that the release has brought.
    pub(super) fn word(&self) -> String {
        self.kubectl(&["get", "configmap", "app", "--output=jsonpath={.data.word}"])
    }

    /// Waits until helm is in the middle of something.
    pub(super) async fn until_pending(&self) {
        let asked = [
            "get",
            "secret",
            "--selector=owner=helm,status in (pending-install,pending-upgrade)",
            "--output=name",
        ];
        self.until(&asked, "secret/").await;
    }

    /// Waits until the cluster says why a pod does not run.
    pub(super) async fn until_refused(&self) {
        let reasons = "--output=jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}";
        self.until(&["get", "pods", reasons], "ErrImageNeverPull").await;
    }

    async fn until(&self, asked: &[&str], wanted: &str) {
        let waiting = async {
            while !self.kubectl(asked).contains(wanted) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "the cluster never says {wanted}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = Command::new("kubectl")
            .args([
                "delete",
                "namespace",
                &self.namespace,
                "--ignore-not-found",
                "--wait=false",
            ])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Writes a chart.
pub(super) fn chart(folder: &Path, name: &str) {
    fs::create_dir_all(folder.join("templates")).unwrap();
    let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    write(
        "Chart.yaml",
        &format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\nappVersion: \"1.0\"\n"),
    );
    write(
        "templates/config.yaml",
        r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: "{{ .Release.Name }}" }
data: { word: {{ .Values.word | quote }} }
---
apiVersion: v1
kind: Secret
metadata: { name: "{{ .Release.Name }}" }
stringData: { password: {{ dig "database" "password" "none" (.Values | merge (dict)) | quote }} }
"#,
    );
    write(
        "templates/pod.yaml",
        r#"
{{- if .Values.image }}
apiVersion: apps/v1
kind: Deployment
metadata: { name: "{{ .Release.Name }}" }
spec:
  selector: { matchLabels: { app: "{{ .Release.Name }}" } }
  strategy: { rollingUpdate: { maxUnavailable: 0 } }
  template:
    metadata: { labels: { app: "{{ .Release.Name }}" } }
    spec:
      terminationGracePeriodSeconds: 0
      automountServiceAccountToken: false
      containers:
        - name: app
          image: {{ .Values.image | quote }}
          imagePullPolicy: Never
          command: [harness-delegate, manager, --listen, "127.0.0.1:8080", --data-dir, /data]
          volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, emptyDir: {} }]
{{- end }}
"#,
    );
    write("templates/NOTES.txt", "the word is {{ .Values.word }}\n");
}
