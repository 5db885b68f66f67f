//! Which delegates one run was asked for, so that the same one is not asked for twice.
//!
//! Two resources that lead to the same delegate would undo each other's work in every apply. Each says where its delegate
//! will be; whoever comes second is told who was first. Lives as long as a provider process: what is in a cluster or on a
//! host already is the installer's to find.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// When a place is asked for. Terraform plans and applies in processes of their own, except where it does both in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A create is planned. Only creates are told apart for sure: Terraform plans a replacement twice, the second time as
    /// a create.
    Plan,
    /// A create or an update is carried out.
    Apply,
}

/// Places that were asked for, and by which delegate.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashMap<(Phase, String), String>>);

impl Claims {
    /// Asks for all of these places, or for none of them: then the name of the delegate that has one already.
    ///
    /// # Errors
    /// The name of who was first.
    pub fn take(&self, phase: Phase, places: &[String], name: &str) -> Result<(), String> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |place: &String| (phase, place.clone());
        if let Some(first) = places.iter().find_map(|place| taken.get(&key(place))) {
            return Err(first.clone());
        }
        for place in places {
            taken.insert(key(place), name.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_ask_is_told_who_was_first() {
        let claims = Claims::default();
        let places = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(claims.take(Phase::Plan, &places(&["a", "b"]), "one"), Ok(()));
        assert_eq!(
            claims.take(Phase::Plan, &places(&["c", "b"]), "two"),
            Err("one".to_owned())
        );
        // Nothing was taken by the one that was refused, and an apply is another matter than its plan.
        assert_eq!(claims.take(Phase::Plan, &places(&["c"]), "three"), Ok(()));
        assert_eq!(claims.take(Phase::Apply, &places(&["a", "b"]), "one"), Ok(()));
    }
}
