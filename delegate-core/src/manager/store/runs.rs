//! Runs of pipelines: how they are written and read.

use sqlx::{AnyConnection, Row as _};

use super::read::can_be_kept;
use super::rows::{self, NewRun, NodeRow, OpenRun, RunEnded, RunRow};
use super::{Store, StoreError};
use crate::manager::ids::{Millis, RunId};

const NEW_RUN: &str = "INSERT INTO runs (id, pipeline, name, status, created_at, plan, inputs, view) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, '') ON CONFLICT (id) DO NOTHING";

const PUT_NODE: &str = "INSERT INTO run_nodes (run_id, node, state) VALUES ($1, $2, $3) \
    ON CONFLICT (run_id, node) DO UPDATE SET state = excluded.state";

/// What may carry secrets goes with the end.
const END_RUN: &str =
    "UPDATE runs SET status = $2, finished_at = $3, view = $4, plan = '', inputs = '' WHERE id = $1";

/// A filter that is not asked for is NULL; see `LIST_TASKS`.
const LIST_RUNS: &str = "SELECT id, pipeline, name, status, created_at, finished_at FROM runs \
    WHERE ($1 IS NULL OR status = $1) AND (created_at < $2 OR (created_at = $2 AND id < $3)) \
    ORDER BY created_at DESC, id DESC LIMIT $4";

/// Which runs a list shows.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only with this status.
    pub status: Option<String>,
    /// Only those after this one, in the order of the list.
    pub after: Option<(Millis, String)>,
    /// At most so many.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug)]
pub struct RunRows {
    /// Newest first.
    pub runs: Vec<RunRow>,
    /// Whether there are more.
    pub more: bool,
}

impl Store {
    /// Runs that are not over.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>, StoreError> {
        let found = sqlx::query(
            "SELECT id, pipeline, name, status, created_at, finished_at, plan, inputs FROM runs \
             WHERE status = 'RUNNING'",
        )
        .fetch_all(self.pool())
        .await?;
        let mut runs = Vec::with_capacity(found.len());
        for row in &found {
            let nodes = sqlx::query("SELECT state FROM run_nodes WHERE run_id = $1 ORDER BY node")
                .bind(row.try_get::<String, _>("id")?)
                .fetch_all(self.pool())
                .await?;
            runs.push(OpenRun {
                row: rows::run(row)?,
                plan: row.try_get("plan")?,
                inputs: row.try_get("inputs")?,
                nodes: nodes
                    .iter()
                    .map(|node| node.try_get("state"))
                    .collect::<Result<_, _>>()?,
            });
        }
        Ok(runs)
    }

    /// A run, and what is left to be looked at when it is over, as JSON.
    pub async fn run(&self, id: &str) -> Result<Option<(RunRow, String)>, StoreError> {
        if !can_be_kept(id) {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT id, pipeline, name, status, created_at, finished_at, view FROM runs WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?;
        row.map(|row| Ok((rows::run(&row)?, row.try_get("view")?)))
            .transpose()
    }

    /// A page of runs, newest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<RunRows, StoreError> {
        let (at, id) = filter.after.clone().unwrap_or((Millis::MAX, String::new()));
        if !can_be_kept(&id) {
            return Ok(RunRows {
                runs: Vec::new(),
                more: false,
            });
        }
        let found = sqlx::query(LIST_RUNS)
            .bind(filter.status.as_deref())
            .bind(at)
            .bind(id)
            // One more than asked for tells whether there are more.
            .bind(i64::from(filter.limit) + 1)
            .fetch_all(self.pool())
            .await?;
        let mut runs = found.iter().map(rows::run).collect::<Result<Vec<_>, _>>()?;
        let more = runs.len() > filter.limit as usize;
        runs.truncate(filter.limit as usize);
        Ok(RunRows { runs, more })
    }
}

pub(super) async fn begin(connection: &mut AnyConnection, run: &NewRun) -> Result<(), sqlx::Error> {
    sqlx::query(NEW_RUN)
        .bind(run.row.id.as_str())
        .bind(&run.row.pipeline)
        .bind(&run.row.name)
        .bind(&run.row.status)
        .bind(run.row.created_at)
        .bind(&*run.plan.0)
        .bind(&*run.inputs.0)
        .execute(connection)
        .await
        .map(drop)
}

pub(super) async fn put_nodes(
    connection: &mut AnyConnection,
    id: &RunId,
    nodes: &[NodeRow],
) -> Result<(), sqlx::Error> {
    for node in nodes {
        sqlx::query(PUT_NODE)
            .bind(id.as_str())
            .bind(i64::try_from(node.node).unwrap_or(i64::MAX))
            .bind(&*node.state.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn end(connection: &mut AnyConnection, run: &RunEnded) -> Result<(), sqlx::Error> {
    sqlx::query(END_RUN)
        .bind(run.id.as_str())
        .bind(run.status)
        .bind(run.at)
        .bind(&run.view)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM run_nodes WHERE run_id = $1")
        .bind(run.id.as_str())
        .execute(connection)
        .await
        .map(drop)
}
