-- Runs of pipelines. While one goes on, `plan` and `inputs` are JSON and its nodes are in run_nodes; when it is over, all of that
-- is forgotten, for it may carry secrets, and `view` is what is left to be looked at.
CREATE TABLE runs (
    id          TEXT   NOT NULL PRIMARY KEY,
    pipeline    TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT,
    plan        TEXT   NOT NULL,
    inputs      TEXT   NOT NULL,
    view        TEXT   NOT NULL
);

CREATE INDEX runs_newest ON runs (created_at, id);
CREATE INDEX runs_status ON runs (status, created_at, id);
CREATE INDEX runs_finished ON runs (finished_at);

CREATE TABLE run_nodes (
    run_id TEXT   NOT NULL,
    node   BIGINT NOT NULL,
    state  TEXT   NOT NULL,
    PRIMARY KEY (run_id, node)
);
