use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

const MUCH: u64 = 64 * 1024 * 1024;

fn head() -> Head {
    Head {
        task: "t".to_owned(),
        key: "k".to_owned(),
        token: "sealed".to_owned(),
        service: None,
    }
}

fn spool(dir: &Path) -> Spool {
    Spool::new(dir, Box::new(|| Ok(head())))
}

fn line(text: &str) -> LogLine {
    LogLine {
        level: "info".to_owned(),
        pos: 0,
        out: format!("{text}\n"),
        time: "2026-01-01T00:00:00.000000000Z".to_owned(),
        args: serde_json::Value::Null,
    }
}

fn lines(range: std::ops::Range<u64>) -> Vec<LogLine> {
    range.map(|n| line(&format!("line {n}"))).collect()
}

/// The next life's spool of the only name in a directory.
fn resumed(dir: &Path) -> Option<Spool> {
    let (name, numbers) = leftovers(dir).into_iter().next()?;
    Spool::resume(dir, name, numbers)
}

/// Takes everything, in batches of a few lines.
fn drain(spool: &mut Spool) -> Vec<LogLine> {
    let mut all = Vec::new();
    while spool.waiting().lines > 0 {
        all.extend(spool.next(1000, 7));
        spool.taken();
    }
    all
}

/// Positions are without gaps, and as many lines as are missing are declared. Returns the texts and what was declared.
fn check(all: &[LogLine], first: u64) -> (Vec<String>, u64) {
    let (mut texts, mut declared, mut expected) = (Vec::new(), 0, first);
    for line in all {
        assert_eq!(line.pos, expected, "{}", line.out);
        expected += 1;
        match line
            .out
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(" lines"))
        {
            Some((count, _)) => {
                let count: u64 = count.parse().unwrap();
                declared += count;
                expected = line.pos + count;
            }
            None => texts.push(line.out.trim_end().to_owned()),
        }
    }
    (texts, declared)
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn lines_come_out_as_they_went_in_and_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    let mut spool = spool(&dir);
    assert_eq!(spool.next(1000, 1000), []);
    assert!(!dir.exists(), "no line, no file");
    spool.append(lines(0..10), MUCH);
    let mut all = spool.next(usize::MAX, 3);
    assert_eq!(
        spool.next(usize::MAX, 3),
        all,
        "handed out until it is acknowledged"
    );
    spool.taken();
    spool.append(lines(10..20), MUCH);
    all.extend(drain(&mut spool));
    let expected: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    assert_eq!(check(&all, 0), (expected, 0));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let file = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&dir), mode(&file)), (0o700, 0o600));
    spool.remove();
    assert_eq!((files(&dir), spool.held()), (0, 0));
}

#[test]
fn the_next_life_goes_on_where_the_service_stopped_listening() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = spool(dir.path());
    before.append(lines(0..10), MUCH);
    assert_eq!(before.next(usize::MAX, 4).len(), 4);
    before.taken();
    // Handed out, never acknowledged.
    assert_eq!(before.next(usize::MAX, 4).len(), 4);
    drop(before);
    let mut after = resumed(dir.path()).unwrap();
    assert!(after.is_acknowledged());
    assert_eq!(after.head(), Some(&head()));
    after.append(vec![line("tail")], MUCH);
    let expected: Vec<String> = (4..10)
        .map(|n| format!("line {n}"))
        .chain(["tail".to_owned()])
        .collect();
    assert_eq!(check(&drain(&mut after), 4), (expected, 0));
    after.remove();
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn a_long_log_that_is_taken_as_it_comes_needs_little_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let text = "x".repeat(1000);
    for _ in 0..5000 {
        assert_eq!(spool.append(vec![line(&text)], MUCH), Amount::default());
        assert_eq!(spool.next(usize::MAX, usize::MAX).len(), 1);
        spool.taken();
        assert!(spool.held() < 3 * SEGMENT_BYTES, "{}", spool.held());
    }
    assert!(files(dir.path()) <= 2);
}

#[test]
fn a_full_spool_drops_the_oldest_and_says_what_is_missing_where() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let most = 4 * SEGMENT_BYTES;
    let mut lost = Amount::default();
    let long = "x".repeat(1000);
    spool.append(lines(0..10), most);
    let mut all = spool.next(usize::MAX, 5);
    for _ in 0..3000 {
        lost += spool.append(vec![line(&long)], most);
        assert!(spool.held() <= most + 2000, "{}", spool.held());
    }
    assert!(lost.lines > 1000 && lost.bytes > 1_000_000, "{lost:?}");
    // What was on its way when there was no room is still that.
    spool.taken();
    all.extend(drain(&mut spool));
    let (texts, declared) = check(&all, 0);
    assert_eq!((declared, texts.len() as u64), (lost.lines, 3010 - lost.lines));
    let told = all.iter().find(|line| line.level == "warn").unwrap();
    assert!(
        told.out.contains(&format!(" {} bytes,", lost.bytes)),
        "{}",
        told.out
    );
    assert_eq!(texts[..5], ["line 0", "line 1", "line 2", "line 3", "line 4"]);
}

#[test]
fn a_disk_that_takes_nothing_costs_room_and_no_order() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("spool");
    std::fs::write(&place, "in the way").unwrap();
    let mut spool = spool(&place);
    spool.append(lines(0..10), MUCH);
    assert_eq!(check(&drain(&mut spool), 0).0.len(), 10);
    let long = "x".repeat(1000);
    let mut lost = Amount::default();
    for _ in 0..1000 {
        lost += spool.append(vec![line(&long)], MUCH);
        assert!(spool.held() <= MEMORY_BYTES + 2000, "{}", spool.held());
    }
    let (texts, declared) = check(&drain(&mut spool), 10);
    assert_eq!((declared, texts.len() as u64 + declared), (lost.lines, 1000));
    // It takes something again.
    std::fs::remove_file(&place).unwrap();
    spool.append(lines(0..3), MUCH);
    assert_eq!(files(&place), 1);
    assert_eq!(check(&drain(&mut spool), 1010).0.len(), 3);
}

#[test]
fn a_file_that_somebody_removes_is_a_declared_loss() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    spool.append(lines(0..10), MUCH);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert_eq!(check(&drain(&mut spool), 0), (Vec::new(), 10));
}

#[test]
fn files_that_are_no_spool_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.0"), "{\"taken\":{\"pos\":1,\"at\":1}}\n\0{").unwrap();
    std::fs::write(dir.path().join("README"), "").unwrap();
    assert!(resumed(dir.path()).is_none());
    assert_eq!(files(dir.path()), 1, "what is not ours stays");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A crash cuts the last file anywhere. What was whole before the cut is sent, what was acknowledged before it is not
    /// sent again, and the next life writes on.
    #[test]
    fn a_spool_cut_anywhere_goes_on_in_order(
        chunks in prop::collection::vec((1u64..20, 0usize..25), 1..8),
        cut in 0.0f64..1.0,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut before = spool(dir.path());
        // How long the file was after each step, and what it says from then on.
        let path = dir.path().join(file_name(&before.name, 0));
        let (mut end, mut steps) = (0, Vec::new());
        let length = || path.metadata().unwrap().len();
        for (count, take) in chunks {
            before.append(lines(end..end + count), MUCH);
            end += count;
            steps.push((length(), before.taken.pos));
            if take > 0 {
                before.next(usize::MAX, take);
                before.taken();
                steps.push((length(), before.taken.pos));
            }
        }
        drop(before);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let cut = (length() as f64 * cut) as u64;
        let bytes = std::fs::read(&path).unwrap();
        let kept = &bytes[..usize::try_from(cut).unwrap()];
        std::fs::write(&path, kept).unwrap();
        let whole = |what: &str| kept.split_inclusive(|byte| *byte == b'\n')
            .filter(|record| record.ends_with(b"\n") && record.starts_with(what.as_bytes())).count() as u64;
        let Some(mut after) = resumed(dir.path()) else {
            prop_assert_eq!(whole("{\"log\""), 0);
            prop_assert_eq!(files(dir.path()), 0);
            return Ok(());
        };
        let taken = steps.iter().rev().find(|(length, _)| *length <= cut).map_or(0, |(_, taken)| *taken);
        prop_assert_eq!(after.waiting().lines, whole("{\"line\"").saturating_sub(taken));
        let first = after.taken.pos;
        prop_assert_eq!(first, taken);
        after.append(vec![line("tail")], MUCH);
        let (texts, declared) = check(&drain(&mut after), first);
        let expected: Vec<String> = (first..whole("{\"line\"").max(first)).map(|n| format!("line {n}"))
            .chain(["tail".to_owned()]).collect();
        prop_assert_eq!((texts, declared), (expected, 0));
        after.remove();
        prop_assert_eq!(files(dir.path()), 0);
    }

    /// Whatever the order of writing, taking, running out of room and dying: no line comes twice or out of order, and
    /// those that do not come are declared.
    #[test]
    fn no_line_is_doubled_or_silently_lost(
        steps in prop::collection::vec((0u8..4, 1usize..120), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path());
        let (mut end, mut all) = (0, Vec::new());
        for (what, much) in steps {
            match what {
                0 | 1 => {
                    let text = "y".repeat(much * 100);
                    let some = (end..end + much as u64).map(|n| line(&format!("{n} {text}"))).collect();
                    end += much as u64;
                    spool.append(some, 2 * SEGMENT_BYTES);
                }
                2 => {
                    all.extend(spool.next(50_000, much));
                    spool.taken();
                }
                _ => {
                    drop(spool.next(50_000, much));
                    drop(spool);
                    spool = match resumed(dir.path()) {
                        Some(spool) => spool,
                        None => return Ok(()),
                    };
                }
            }
        }
        all.extend(drain(&mut spool));
        let (texts, declared) = check(&all, 0);
        prop_assert_eq!(texts.len() as u64 + declared, end);
        let numbers: Vec<u64> = texts.iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b));
    }
}
