//! Every byte of the output, for each values file in `tests/golden/chart`.

use std::{env, fs};

use crate::render::{HELMS, Helm, cases, golden_dir};

#[test]
fn every_case_renders_to_its_golden_file_with_both_helms() {
    let update = env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let helms = HELMS.map(Helm::new);
    let mut differ = Vec::new();
    for (case, values) in cases() {
        let [three, four] = helms.each_ref().map(|helm| helm.rendered(Some(&values), &[]));
        similar_asserts::assert_eq!(three, four, "{case}: Helm 3 and Helm 4 render differently");
        let file = golden_dir().join(format!("{case}.yaml"));
        if update {
            fs::write(&file, &three).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        if golden != three {
            differ.push(format!(
                "{case}:\n{}",
                similar_asserts::SimpleDiff::from_str(&golden, &three, "golden", "rendered")
            ));
        }
    }
    assert!(
        differ.is_empty(),
        "the chart renders something else than the golden files (UPDATE_GOLDEN=1 rewrites them):\n{}",
        differ.join("\n")
    );
}

#[test]
fn no_golden_file_has_lost_its_values() {
    let cases = cases();
    for entry in fs::read_dir(golden_dir()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let case = name
            .strip_suffix(".values.yaml")
            .or_else(|| name.strip_suffix(".yaml"));
        assert!(
            case.is_some_and(|case| cases.contains_key(case)),
            "{name} belongs to no case"
        );
    }
}

#[test]
fn strict_lint_passes_with_no_values_and_with_every_case() {
    for helm in HELMS.map(Helm::new) {
        let all = cases();
        for values in [None].into_iter().chain(all.values().map(Some)) {
            let output = helm.lint(values.map(std::path::PathBuf::as_path));
            let said = [output.stdout, output.stderr].concat();
            assert!(
                output.status.success(),
                "{} {values:?}: {}",
                helm.name,
                String::from_utf8_lossy(&said)
            );
        }
    }
}
