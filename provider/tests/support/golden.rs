//! Expected texts in `tests/golden`. `UPDATE_GOLDEN=1` writes them anew; the difference is then reviewed as any change is.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::fs;
use std::path::Path;

/// That `text` is what the golden file of this name holds.
pub fn assert_golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, text).expect("writable");
    }
    let golden = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        golden == text,
        "{name} has changed (UPDATE_GOLDEN=1 writes it anew):\n{}",
        similar_asserts::SimpleDiff::from_str(&golden, text, "golden", "found")
    );
}
