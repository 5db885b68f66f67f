//! `task kinds`: what a delegate of this program does, kinds of its owner's among it, and what this machine lacks for it. Asks
//! no manager. What is wrong with a manifest is told on the standard error.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Kinds;
use crate::cli::api::{Failure, print, print_json, table};
use crate::process::Environment;
use crate::task::About;

pub(super) fn list(args: &Kinds) -> Result<ExitCode, Failure> {
    let environment = Environment::of_this_process(&[]);
    let registry = args.kinds.registry();
    let kinds: Vec<_> = registry
        .offered()
        .map(|(name, kind)| (name, kind.about(), kind.check(&environment).err()))
        .collect();
    if args.json {
        let kinds: Vec<Value> = kinds
            .iter()
            .map(|(name, about, missing)| described(name, about, missing.as_deref()))
            .collect();
        print_json(&kinds)?;
    } else {
        let rows: Vec<_> = kinds
            .into_iter()
            .map(|(name, about, missing)| {
                let here = missing.unwrap_or_else(|| "yes".to_owned());
                [name.to_owned(), about.summary.into_owned(), here]
            })
            .collect();
        print(&table(["KIND", "DOES", "HERE"], &rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn described(name: &str, about: &About, missing: Option<&str>) -> Value {
    json!({
        "type": name,
        "summary": about.summary,
        "again": about.again,
        "offered": missing.is_none(),
        "missing": missing,
        "data": about.data,
        "result": about.result,
        "example": about.example,
    })
}
