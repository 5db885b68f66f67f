//! What was applied under a name, kept in the cluster itself: any delegate can go on from there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::kubectl::Kubectl;
use super::object::{Id, Objects, among};
use crate::task::halt::Halt;

/// Most bytes of manifests that are remembered. A Secret holds 1 MiB, and the names of the objects are in it, too.
const MAX_GOOD_BYTES: usize = 900 * 1024;

/// The keys of the Secret.
const OBJECTS: &str = "objects";
const GOOD: &str = "good";

/// What an earlier task left.
pub(super) struct Record {
    secret: String,
    /// Everything that was applied, and is not known to be gone.
    objects: Vec<Id>,
    good: Option<Objects>,
}

impl Record {
    /// Reads it; one that is not there says nothing.
    pub(super) async fn read(cluster: &Kubectl<'_>, name: &str) -> Result<Self, Halt> {
        let secret = format!("harness-apply.{name}");
        let found = cluster.get("secret", &secret).await?;
        let part =
            |key: &str| -> Option<Vec<u8>> { STANDARD.decode(found.as_ref()?["data"][key].as_str()?).ok() };
        let strange = |what: &str| {
            Halt::failed(format!(
                "the Secret {secret}, which says what was applied under this name, has {what} that this delegate cannot read; \
                 remove the Secret, which forgets what to prune and to roll back to, or choose another `name`"
            ))
        };
        let objects = match part(OBJECTS) {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| strange("objects"))?,
            None if found.is_some() => return Err(strange("no objects")),
            None => Vec::new(),
        };
        let good = match part(GOOD) {
            Some(bytes) => {
                let list: Value = serde_json::from_slice(&bytes).map_err(|_| strange("manifests"))?;
                Some(Objects::of([list]).map_err(|_| strange("manifests"))?)
            }
            None => None,
        };
        Ok(Self {
            secret,
            objects,
            good,
        })
    }

    /// The manifests that were good last.
    pub(super) fn good(&self) -> Option<&Objects> {
        self.good.as_ref()
    }

    /// Whether an earlier task applied it.
    pub(super) fn knows(&self, id: &Id) -> bool {
        among(&self.objects, id)
    }

    /// What was applied and is not wanted.
    pub(super) fn objects_without(&self, wanted: &Objects) -> Vec<Id> {
        self.objects
            .iter()
            .filter(|id| !wanted.has(id))
            .cloned()
            .collect()
    }

    /// Before anything is applied: what may be there from now on.
    pub(super) async fn remember(&self, cluster: &Kubectl<'_>, wanted: &Objects) -> Result<(), Halt> {
        if wanted.list().to_string().len() > MAX_GOOD_BYTES {
            return Err(Halt::failed(format!(
                "the manifests are larger than {} KiB, and would not fit into the Secret that remembers them; divide them into several tasks",
                MAX_GOOD_BYTES / 1024
            )));
        }
        let new = wanted.ids().filter(|id| !self.knows(id));
        let all: Vec<&Id> = self.objects.iter().chain(new).collect();
        self.save(cluster, &all, self.good.as_ref()).await
    }

    /// After everything is rolled out. Without `pruned`, what earlier tasks applied is still remembered.
    pub(super) async fn set_good(
        &self,
        cluster: &Kubectl<'_>,
        wanted: &Objects,
        pruned: bool,
    ) -> Result<(), Halt> {
        let older = self.objects.iter().filter(|id| !pruned && !wanted.has(id));
        let all: Vec<&Id> = older.chain(wanted.ids()).collect();
        self.save(cluster, &all, Some(wanted)).await
    }

    /// As it was read.
    pub(super) async fn write(&self, cluster: &Kubectl<'_>) -> Result<(), Halt> {
        let all: Vec<&Id> = self.objects.iter().collect();
        self.save(cluster, &all, self.good.as_ref()).await
    }

    async fn save(&self, cluster: &Kubectl<'_>, objects: &[&Id], good: Option<&Objects>) -> Result<(), Halt> {
        let mut data = json!({OBJECTS: STANDARD.encode(json!(objects).to_string())});
        if let Some(good) = good {
            data[GOOD] = Value::from(STANDARD.encode(good.list().to_string()));
        }
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "harness-delegate/apply",
            "metadata": {"name": self.secret, "labels": {"app.kubernetes.io/managed-by": "harness-delegate"}},
            "data": data
        });
        cluster.keep(&secret).await
    }
}
