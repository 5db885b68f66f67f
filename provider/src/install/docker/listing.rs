//! Which delegates an engine has, by the label that every container of ours carries.

use std::collections::{BTreeMap, HashMap};

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::container::OWNED;
use super::install::{aside, next};
use super::{DockerError, Engine};

/// The delegates of an engine: names of their containers, and of the delegates in them.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn list(engine: &Engine) -> Result<BTreeMap<String, String>, DockerError> {
    // Settles which version of the API is spoken.
    engine.id().await?;
    let labelled = HashMap::from([("label".to_owned(), vec![OWNED.to_owned()])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&labelled)
        .build();
    let found = engine.docker.list_containers(Some(options)).await;
    let found = found.map_err(|error| engine.told("list its containers", error))?;
    Ok(delegates(&found.iter().filter_map(named).collect()))
}

fn named(container: &ContainerSummary) -> Option<(String, String)> {
    let name = container.names.as_ref()?.first()?.trim_start_matches('/');
    let delegate = container.labels.as_ref()?.get(OWNED)?;
    Some((name.to_owned(), delegate.clone()))
}

/// Without those that an update has made or set aside: the name of the delegate's own container stands for them.
fn delegates(containers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_step = |(name, delegate): (&String, &String)| {
        containers
            .iter()
            .any(|(own, other)| other == delegate && (*name == next(own) || *name == aside(own)))
    };
    let own = |name: &String, delegate: &String| {
        // An update was cut off between two of its steps.
        let set_aside = name
            .strip_suffix(aside("").as_str())
            .filter(|_| *name == aside(delegate));
        set_aside.unwrap_or(name).to_owned()
    };
    containers
        .iter()
        .filter(|container| !is_step(*container))
        .map(|(name, delegate)| (own(name, delegate), delegate.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delegate_in_an_update_is_listed_once_by_its_own_name() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(name, delegate)| ((*name).to_owned(), (*delegate).to_owned()))
                .collect()
        };
        for (found, listed) in [
            (map(&[("a", "a"), ("a.next", "a")]), map(&[("a", "a")])),
            (map(&[("a", "a"), ("a.aside", "a")]), map(&[("a", "a")])),
            (
                map(&[("a.aside", "a"), ("b", "a")]),
                map(&[("a", "a"), ("b", "a")]),
            ),
            (
                map(&[("a", "a"), ("a.next", "b")]),
                map(&[("a", "a"), ("a.next", "b")]),
            ),
        ] {
            assert_eq!(delegates(&found), listed);
        }
    }
}
