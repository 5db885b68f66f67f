//! What has been read of a cluster, shared by everything that looks at it in this process.
//!
//! Terraform refreshes fifty delegates one by one; the API server need not be asked fifty times for what one list has. A
//! list is made once for a kind, a namespace and a selector, whoever asks first, and serves everybody for a short time.
//! Whoever waits for a change says how fresh an answer must be. Our own writes go into it, so that nobody reads what was
//! there before them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::ClusterError;

/// How long a list serves a look that asks for no particular freshness. A refresh of many delegates fits into it, and what
/// somebody changes meanwhile is seen by the next plan.
pub(super) const VALIDITY: Duration = Duration::from_secs(10);

/// A list: kind, namespace (empty for the whole cluster), label selector, and whether it has whole objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) selector: &'static str,
    pub(super) whole: bool,
}

/// The lists of one cluster.
#[derive(Default)]
pub(super) struct Reads {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// One list.
#[derive(Default)]
struct Slot {
    /// Held while the API server is asked: whoever comes meanwhile takes that answer.
    flight: tokio::sync::Mutex<()>,
    data: Mutex<Data>,
}

#[derive(Default)]
struct Data {
    /// When the last request for the list was begun.
    begun: Option<Instant>,
    objects: BTreeMap<String, Arc<Value>>,
    /// Our own writes that the list may not have seen, with their ends.
    writes: Vec<(Instant, String, Option<Arc<Value>>)>,
}

/// Objects by name, as a list has them.
pub type Listed = BTreeMap<String, Arc<Value>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reads {
    /// The list, at least as fresh as `since`; `ask` asks the API server, and is not begun when that is not needed.
    pub(super) async fn list(
        &self,
        key: Key,
        since: Instant,
        ask: impl Future<Output = Result<Listed, ClusterError>>,
    ) -> Result<Listed, ClusterError> {
        let slot = Arc::clone(lock(&self.slots).entry(key).or_default());
        let _flight = slot.flight.lock().await;
        {
            let data = lock(&slot.data);
            if data.begun.is_some_and(|begun| begun >= since) {
                return Ok(data.objects.clone());
            }
        }
        let begun = Instant::now();
        let objects = ask.await?;
        let mut data = lock(&slot.data);
        data.objects = objects;
        data.begun = Some(begun);
        data.writes.retain(|(ended, ..)| *ended >= begun);
        for (_, name, object) in std::mem::take(&mut data.writes) {
            data.put(&name, object.clone());
            data.writes.push((begun, name, object));
        }
        Ok(data.objects.clone())
    }

    /// Forgets what was read of a namespace: it is gone, with all that was in it.
    pub(super) fn forget(&self, namespace: &str) {
        lock(&self.slots).retain(|key, _| key.namespace != namespace);
    }

    /// Tells every list of the object's kind and namespace what we have just written: its new form, or that it is gone.
    pub(super) fn wrote(
        &self,
        (api_version, kind): (&str, &str),
        namespace: &str,
        name: &str,
        object: Option<&Arc<Value>>,
    ) {
        let now = Instant::now();
        let slots: Vec<(Key, Arc<Slot>)> = lock(&self.slots)
            .iter()
            .filter(|(key, _)| {
                key.api_version == api_version && key.kind == kind && key.namespace == namespace
            })
            .map(|(key, slot)| (key.clone(), Arc::clone(slot)))
            .collect();
        for (key, slot) in slots {
            let object = object.filter(|object| selects(key.selector, object)).cloned();
            let mut data = lock(&slot.data);
            data.put(name, object.clone());
            data.writes.push((now, name.to_owned(), object));
        }
    }
}

impl Data {
    fn put(&mut self, name: &str, object: Option<Arc<Value>>) {
        match object {
            Some(object) => self.objects.insert(name.to_owned(), object),
            None => self.objects.remove(name),
        };
    }
}

/// Whether a selector of the form `label=value`, `label` or nothing selects an object.
fn selects(selector: &str, object: &Value) -> bool {
    if selector.is_empty() {
        return true;
    }
    let labels = &object["metadata"]["labels"];
    match selector.split_once('=') {
        Some((label, value)) => labels[label] == value,
        None => !labels[selector].is_null(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    fn key() -> Key {
        Key {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: "ns".into(),
            selector: "ours=yes",
            whole: true,
        }
    }

    fn object(name: &str, label: &str) -> Arc<Value> {
        Arc::new(json!({ "metadata": { "name": name, "labels": { "ours": label } } }))
    }

    #[tokio::test]
    async fn one_request_serves_all_who_ask_at_once_and_soon_after() {
        let (reads, asked) = (Reads::default(), AtomicUsize::new(0));
        let since = Instant::now();
        let look = || {
            reads.list(key(), since, async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(Listed::from([("a".to_owned(), object("a", "yes"))]))
            })
        };
        let (one, two, three) = tokio::join!(look(), look(), look());
        assert!([one, two, three].into_iter().all(|list| list.unwrap().len() == 1));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let fresher = reads.list(key(), Instant::now(), async {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(Listed::new())
        });
        assert!(fresher.await.unwrap().is_empty());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_namespace_that_is_gone_is_read_anew() {
        let reads = Reads::default();
        let since = Instant::now();
        let old = Listed::from([("a".to_owned(), object("a", "yes"))]);
        reads.list(key(), since, async { Ok(old) }).await.unwrap();
        reads.forget("ns");
        let new = reads
            .list(key(), since, async { Ok(Listed::new()) })
            .await
            .unwrap();
        assert!(new.is_empty());
    }

    #[tokio::test]
    async fn a_write_during_a_list_is_not_lost_to_it() {
        let reads = Reads::default();
        let listed = reads.list(key(), Instant::now(), async {
            // The server answered before it saw these.
            reads.wrote(("v1", "Secret"), "ns", "new", Some(&object("new", "yes")));
            reads.wrote(("v1", "Secret"), "ns", "foreign", Some(&object("foreign", "no")));
            reads.wrote(("v1", "Secret"), "ns", "old", None);
            Ok(Listed::from([("old".to_owned(), object("old", "yes"))]))
        });
        let names: Vec<String> = listed.await.unwrap().into_keys().collect();
        assert_eq!(names, ["new"]);
    }
}
