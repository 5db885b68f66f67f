//! A run as text: as a tree for a terminal, and as lines that say what changed. Pure: what is shown depends on the run, the
//! time and the room alone.

use std::collections::HashMap;

use crate::pipeline::api::RunView;
use crate::pipeline::run::{Asked, Millis, NodeView, Outcome};

/// Where a tree is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Lines there are; what is over is left out first.
    pub(super) rows: usize,
    /// Letters in a line.
    pub(super) columns: usize,
    /// Whether marks have colours. They never say what is not in the text.
    pub(super) colours: bool,
}

impl Room {
    /// All the room there may be, for a file or a pipe.
    pub(super) const ENDLESS: Self = Self {
        rows: usize::MAX,
        columns: usize::MAX,
        colours: false,
    };
}

/// A run as a tree, a line each.
pub(super) fn tree(run: &RunView, now: Millis, room: Room) -> Vec<String> {
    let mut lines = Vec::new();
    add(&run.tree, 0, now, room, false, &mut lines);
    if lines.len() > room.rows {
        lines.clear();
        add(&run.tree, 0, now, room, true, &mut lines);
    }
    if lines.len() > room.rows {
        let kept = room.rows.saturating_sub(1);
        let more = lines.len() - kept;
        lines.truncate(kept);
        lines.push(cut(&format!("… and {more} more"), room.columns));
    }
    lines
}

/// Adds a node and what is in it; `short` leaves out what is in those that went well or did not begin.
fn add(node: &NodeView, depth: usize, now: Millis, room: Room, short: bool, lines: &mut Vec<String>) {
    let (mark, colour) = mark(node);
    let mut text = format!("{}{}", "  ".repeat(depth), mark);
    text.push(' ');
    text.push_str(&clean(&node.name));
    if node.started_at.is_some() {
        text.push_str("  ");
        text.push_str(&duration(node.seconds(now)));
    }
    let notes = notes(node);
    if !notes.is_empty() {
        text.push_str("  ");
        text.push_str(&notes);
    }
    let text = cut(&text, room.columns);
    lines.push(if room.colours {
        text.replacen(mark, &format!("\u{1b}[{colour}m{mark}\u{1b}[0m"), 1)
    } else {
        text
    });
    let quiet = matches!(node.status.as_str(), "SUCCEEDED" | "SKIPPED" | "PENDING");
    if short && quiet && depth > 0 {
        return;
    }
    for child in &node.children {
        add(child, depth + 1, now, room, short, lines);
    }
}

/// What stands for a status, and its colour.
fn mark(node: &NodeView) -> (&'static str, u8) {
    const GREEN: u8 = 32;
    const RED: u8 = 31;
    const YELLOW: u8 = 33;
    const BLUE: u8 = 34;
    const GREY: u8 = 90;
    match Outcome::parse(&node.status) {
        Some(Outcome::Succeeded) => ("✓", GREEN),
        Some(Outcome::IgnoreFailed) => ("!", YELLOW),
        Some(Outcome::Skipped) => ("-", GREY),
        Some(Outcome::Failed | Outcome::TimedOut | Outcome::Rejected | Outcome::Aborted) => ("✗", RED),
        None if node.asked.is_some() => ("?", YELLOW),
        None if node.status == "RUNNING" => ("▸", BLUE),
        None => ("·", GREY),
    }
}

/// What there is to say of a node besides its name and time.
fn notes(node: &NodeView) -> String {
    let mut notes = Vec::new();
    match Outcome::parse(&node.status) {
        Some(Outcome::Succeeded) | None => {}
        Some(outcome) => notes.push(outcome.as_str().to_owned()),
    }
    if node.attempts > 1 {
        notes.push(format!("attempt {}", node.attempts));
    }
    if let Some(delegate) = &node.delegate {
        notes.push(format!("on {}", clean(delegate)));
    }
    match &node.asked {
        Some(Asked::Approval {
            question,
            needed,
            given,
        }) => notes.push(format!(
            "waits for approval ({} of {needed}): {}",
            given.len(),
            clean(question)
        )),
        Some(Asked::Decision) => notes.push("waits for a decision".to_owned()),
        None => {}
    }
    if let Some(waiting) = &node.waiting_for {
        notes.push(clean(waiting));
    }
    if let Some(message) = &node.message {
        notes.push(clean(message));
    }
    notes.join(", ")
}

/// What changed between two looks at a run, a line each: the path, the status, and what there is to say.
pub(super) fn changes(before: Option<&RunView>, after: &RunView) -> Vec<String> {
    let mut known = HashMap::new();
    if let Some(before) = before {
        remember(&before.tree, &mut known);
    }
    let mut lines = Vec::new();
    add_changes(&after.tree, after, &known, &mut lines);
    lines
}

/// What is said of a node, without what changes all the time.
fn said(node: &NodeView) -> String {
    let notes = notes(node);
    let status = &node.status;
    let rest = notes.strip_prefix(status.as_str()).unwrap_or(&notes);
    let rest = rest.trim_start_matches(", ");
    if rest.is_empty() {
        status.clone()
    } else {
        format!("{status}, {rest}")
    }
}

fn remember(node: &NodeView, known: &mut HashMap<usize, String>) {
    known.insert(node.node, said(node));
    for child in &node.children {
        remember(child, known);
    }
}

fn add_changes(node: &NodeView, run: &RunView, known: &HashMap<usize, String>, lines: &mut Vec<String>) {
    let now = said(node);
    // What is in something is over before it.
    let is_over = Outcome::parse(&node.status).is_some();
    let children = |lines: &mut Vec<String>| {
        for child in &node.children {
            add_changes(child, run, known, lines);
        }
    };
    if is_over {
        children(lines);
    }
    if node.status != "PENDING" && known.get(&node.node) != Some(&now) {
        let path = if node.path.is_empty() {
            clean(&run.summary.name)
        } else {
            node.path.clone()
        };
        let took = match (is_over, node.started_at, node.ended_at) {
            (true, Some(_), Some(ended)) => {
                format!(" ({})", duration(node.seconds(ended.as_millisecond())))
            }
            _ => String::new(),
        };
        lines.push(format!("{path}: {now}{took}"));
    }
    if !is_over {
        children(lines);
    }
}

/// A time as people read it: `0.4s`, `12s`, `3m 05s`, `2h 10m`.
pub(super) fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and cut off where it is beyond all bounds"
    )]
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// A text in one line, without what a terminal would obey.
fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\n' | '\t' => ' ',
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// A line that fits.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "values as json! gives them")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const START: Millis = 1_700_000_000_000;

    fn at(seconds: i64) -> Value {
        json!(jiff::Timestamp::from_millisecond(START + seconds * 1000).unwrap())
    }

    fn node(number: usize, path: &str, status: &str, more: Value) -> Value {
        let mut node = json!({
            "node": number, "path": path, "name": path.rsplit('.').next().unwrap(), "level": "step",
            "status": status, "attempts": 1, "outputs": {}, "children": [],
        });
        for (name, value) in more.as_object().unwrap() {
            node[name] = value.clone();
        }
        node
    }

    fn run(status: &str, stages: Value) -> RunView {
        serde_json::from_value(json!({
            "id": "r", "pipeline": "p", "name": "Release", "status": status, "created_at": at(0), "cursor": "1",
            "tree": node(0, "", status, json!({"name": "Release", "level": "pipeline", "started_at": at(0), "children": stages})),
        }))
        .unwrap()
    }

    fn in_the_middle() -> RunView {
        let build = [
            node(
                2,
                "build.source",
                "SUCCEEDED",
                json!({"started_at": at(0), "ended_at": at(3), "delegate": "linux-1"}),
            ),
            node(
                3,
                "build.unit_0",
                "FAILED",
                json!({"started_at": at(3), "ended_at": at(68), "attempts": 3, "delegate": "linux-1", "message": "The exit code is 2."}),
            ),
            node(
                4,
                "build.unit_1",
                "IGNORE_FAILED",
                json!({"started_at": at(3), "ended_at": at(15), "message": "no\u{1b}[2J\nway"}),
            ),
            node(
                5,
                "build.sums",
                "SKIPPED",
                json!({"message": "Not begun: something failed before."}),
            ),
        ];
        let deploy = [
            node(
                7,
                "deploy.sure",
                "RUNNING",
                json!({"started_at": at(70), "asked": {"approval": {"question": "Deploy 1.2.3?", "needed": 2, "given": ["ann"]}}}),
            ),
            node(
                8,
                "deploy.wait",
                "RUNNING",
                json!({"started_at": at(70), "waiting_for": "No connected delegate has gpu."}),
            ),
            node(9, "deploy.release", "PENDING", json!({})),
        ];
        run(
            "RUNNING",
            json!([
                node(
                    1,
                    "build",
                    "FAILED",
                    json!({"level": "stage", "started_at": at(0), "ended_at": at(70), "children": build})
                ),
                node(
                    6,
                    "deploy",
                    "RUNNING",
                    json!({"level": "stage", "started_at": at(70), "children": deploy})
                ),
            ]),
        )
    }

    #[test]
    fn a_run_is_a_tree_in_a_terminal() {
        assert_eq!(
            tree(&in_the_middle(), START + 4_000_000, Room::ENDLESS).join("\n"),
            "\
▸ Release  1h 06m
  ✗ build  1m 10s  FAILED
    ✓ source  3.0s  on linux-1
    ✗ unit_0  1m 05s  FAILED, attempt 3, on linux-1, The exit code is 2.
    ! unit_1  12s  IGNORE_FAILED, no\u{fffd}[2J way
    - sums  SKIPPED, Not begun: something failed before.
  ▸ deploy  1h 05m
    ? sure  1h 05m  waits for approval (1 of 2): Deploy 1.2.3?
    ▸ wait  1h 05m  No connected delegate has gpu.
    · release"
        );
    }

    #[test]
    fn a_tree_fits_where_it_is_shown() {
        let room = Room {
            rows: 8,
            columns: 24,
            colours: false,
        };
        let lines = tree(&in_the_middle(), START, room);
        assert_eq!(lines.len(), 8);
        assert!(lines.iter().all(|line| line.chars().count() <= 24), "{lines:?}");
        assert_eq!(lines[7], "… and 3 more");
        // What went well goes first.
        let well = node(
            1,
            "a",
            "SUCCEEDED",
            json!({"children": [node(2, "a.b", "SUCCEEDED", json!({}))]}),
        );
        let running = node(
            3,
            "c",
            "RUNNING",
            json!({"children": [node(4, "c.d", "RUNNING", json!({}))]}),
        );
        let lines = tree(
            &run("RUNNING", json!([well, running])),
            START,
            Room {
                rows: 4,
                ..Room::ENDLESS
            },
        );
        assert_eq!(lines.join("\n"), "▸ Release  0.0s\n  ✓ a\n  ▸ c\n    ▸ d");
        let colours = tree(
            &run("RUNNING", json!([])),
            START,
            Room {
                colours: true,
                ..Room::ENDLESS
            },
        );
        assert_eq!(colours, ["\u{1b}[34m▸\u{1b}[0m Release  0.0s"]);
    }

    #[test]
    fn each_change_is_a_line_where_there_is_no_terminal() {
        let before = run(
            "RUNNING",
            json!([node(
                1,
                "a",
                "RUNNING",
                json!({"children": [
                    node(2, "a.b", "RUNNING", json!({"waiting_for": "It waits."})), node(3, "a.c", "PENDING", json!({}))
                ]})
            )]),
        );
        assert_eq!(
            changes(None, &before),
            ["Release: RUNNING", "a: RUNNING", "a.b: RUNNING, It waits."]
        );
        assert_eq!(changes(Some(&before), &before), Vec::<String>::new());
        let after = run(
            "FAILED",
            json!([node(
                1,
                "a",
                "FAILED",
                json!({"children": [
                    node(2, "a.b", "FAILED", json!({"started_at": at(0), "ended_at": at(2), "delegate": "d", "message": "No."})),
                    node(3, "a.c", "SKIPPED", json!({"message": "Not begun."})),
                ]})
            )]),
        );
        assert_eq!(
            changes(Some(&before), &after),
            [
                "a.b: FAILED, on d, No. (2.0s)",
                "a.c: SKIPPED, Not begun.",
                "a: FAILED",
                "Release: FAILED"
            ]
        );
    }
}
