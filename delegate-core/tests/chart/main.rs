//! The Helm chart as Helm sees it: rendered by the real program, both majors, from the files that are embedded.
//!
//! `golden` holds every byte of the output for a set of values files; `contract` holds what the official chart's
//! users rely on; `rules` holds what must be so whatever the values; `refusals` holds what a wrong value gets;
//! `schema` compares the keys; `renderer` compares the chart with the objects that are made without Helm.
//! `UPDATE_GOLDEN=1` rewrites the golden files. Needs Helm 3 and Helm 4, which `scripts/setup` installs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like the tests themselves"
)]

mod contract;
mod golden;
mod refusals;
mod render;
mod renderer;
mod rules;
mod schema;
