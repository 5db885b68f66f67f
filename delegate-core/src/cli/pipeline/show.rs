//! `pipeline list` and `show`.

use std::process::ExitCode;

use super::follow::{follow, now, write};
use super::tree::{Room, tree};
use super::{List, Show, Shown};
use crate::cli::api::{Api, Failure, print, print_json, say, segment, table};
use crate::pipeline::api::{RunPage, RunView};

fn time(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

pub(super) async fn list(args: List) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.status.map(|status| ("status", status)));
    let page: RunPage = api.get("/pipelines", &query).await?;
    if args.json {
        print_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |run: crate::pipeline::api::RunSummary| {
        [
            run.id,
            run.pipeline,
            run.status,
            time(Some(run.created_at)),
            time(run.finished_at),
        ]
    };
    let rows: Vec<_> = page.runs.into_iter().map(row).collect();
    print(&table(["ID", "PIPELINE", "STATUS", "CREATED", "FINISHED"], &rows))?;
    if page.next_cursor.is_some() {
        say(&"There are more; --limit shows more at once.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(args: Show) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let run: RunView = api.get(&format!("/pipelines/{}", segment(&args.id)), &[]).await?;
    let shown = Shown {
        plain: args.plain,
        junit: args.junit,
        json: args.json.then(|| "-".into()),
    };
    if args.follow {
        return follow(&api, run, &shown, false).await;
    }
    write(&run, &shown)?;
    if !args.json {
        print(&format!("{}\n", tree(&run, now(), Room::ENDLESS).join("\n")))?;
    }
    Ok(ExitCode::SUCCESS)
}
