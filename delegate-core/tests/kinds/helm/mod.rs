//! `HELM_DEPLOY` and `HELM_PUSH` with the real helm, 3 and 4, in a real cluster and with a real registry.

mod deploy;
mod push;
mod refusals;
mod site;
