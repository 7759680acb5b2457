//! Conditions and those that depend on them.

use std::cell::RefCell;

use anyhow::bail;

use super::*;

/// A preflight of the conditions a, b (needs a), c (needs b), d (needs nothing) and e (needs d and b), of which those
/// `failing` do not hold; and which of them were looked at.
async fn preflight(failing: &[&str]) -> (Preflight, Vec<&'static str>) {
    let looked = RefCell::new(Vec::new());
    let mut preflight = Preflight::default();
    let look = async |name: &'static str| {
        looked.borrow_mut().push(name);
        if failing.contains(&name) {
            bail!("{name} is broken");
        }
        Ok(name)
    };
    let detail = |name: &&str| format!("{name} is there");
    let a = preflight.check("a", (), async |()| look("a").await, detail);
    let a = a.await;
    let b = preflight.check("b", &a, async |_| look("b").await, detail);
    let b = b.await;
    let c = preflight.check("c", &b, async |_| look("c").await, detail);
    c.await;
    let d = preflight.check("d", (), async |()| look("d").await, detail);
    let d = d.await;
    let both = async |(d, b): (&&str, &&str)| {
        assert_eq!((*d, *b), ("d", "b"));
        look("e").await
    };
    preflight.check("e", (&d, &b), both, detail).await;
    (preflight, looked.into_inner())
}

fn lines(preflight: &Preflight) -> Vec<String> {
    let line = |check: &Check| format!("{} {:?} {}", check.name, check.result, check.detail);
    preflight.checks().iter().map(line).collect()
}

#[tokio::test]
async fn a_condition_gets_what_was_found_for_those_it_needs() {
    let (preflight, looked) = preflight(&[]).await;
    assert_eq!(looked, ["a", "b", "c", "d", "e"]);
    assert!(preflight.passed());
    assert_eq!(lines(&preflight)[4], "e Ok e is there");
}

#[tokio::test]
async fn what_depends_on_a_failed_condition_is_skipped_and_names_the_one_that_failed() {
    let (preflight, looked) = preflight(&["a"]).await;
    assert_eq!(looked, ["a", "d"]);
    assert_eq!(
        lines(&preflight),
        [
            "a Failed a is broken",
            "b Skipped needs: a",
            // Not b, which nobody looked at.
            "c Skipped needs: a",
            "d Ok d is there",
            "e Skipped needs: a",
        ]
    );
    let error = preflight.into_error();
    assert_eq!(error.to_string(), "a is broken");
}

#[tokio::test]
async fn of_several_needs_the_first_that_does_not_hold_is_named() {
    let (preflight, _) = preflight(&["b", "d"]).await;
    assert_eq!(lines(&preflight)[4], "e Skipped needs: d");
}

#[tokio::test]
async fn all_problems_are_reported_at_once_and_what_was_skipped_is_none() {
    let (preflight, looked) = preflight(&["b", "d"]).await;
    assert_eq!(looked, ["a", "b", "d"]);
    assert!(!preflight.passed());
    assert_eq!(
        preflight.into_error().to_string(),
        "2 problems stand in the way; nothing was changed:\n  b is broken\n  d is broken"
    );
}

#[tokio::test]
async fn the_report_of_a_check_has_every_condition() {
    let (preflight, _) = preflight(&["d"]).await;
    let report =
        serde_json::to_value(preflight.into_report("cpd", crate::report::error_text)).unwrap();
    assert_eq!(
        (&report["namespace"], &report["ok"]),
        (&"cpd".into(), &false.into())
    );
    let results: Vec<_> = report["checks"].as_array().unwrap().iter().collect();
    let results: Vec<_> = results
        .iter()
        .map(|check| check["result"].as_str())
        .collect();
    assert_eq!(results, ["ok", "ok", "ok", "failed", "skipped"].map(Some));
}

#[tokio::test]
async fn a_remark_makes_a_warning_of_a_condition_that_holds_and_stops_nothing() {
    let mut preflight = Preflight::default();
    let a = preflight.record("a", Ok(1), i32::to_string);
    preflight.remark(&a, "rather old");
    let a = a.map(|found| found + 1);
    preflight.remark(&a, "rather slow");
    let look = async |_: &i32| bail!("too little");
    let b = preflight.check("b", &a, look, |()| String::new()).await;
    preflight.remark(&b, "of what failed, there is more to say than this");
    let c: Finding<()> = preflight.skip("c", "b");
    preflight.remark(&c, "of what nobody looked at, there is nothing to say");
    let remarks: Vec<&str> = preflight.remarks().collect();
    assert_eq!(remarks, ["rather old", "rather slow"]);
    assert_eq!(
        lines(&preflight),
        ["a Warning 1", "b Failed too little", "c Skipped needs: b"]
    );
    assert_eq!(preflight.into_error().to_string(), "too little");
    let mut warned = Preflight::default();
    let a = warned.record("a", Ok(()), |()| String::new());
    warned.remark(&a, "rather old");
    assert!(warned.passed());
}

#[test]
fn of_alternative_permissions_all_are_named() {
    use crate::cluster::Permission;
    let get = |name: &str| Permission::new("get", "", "secrets").named(name);
    assert_eq!(
        Needed::any_of([get("new"), get("old")], "").to_string(),
        "get secrets/new or get secrets/old"
    );
    let exec = to_exec("");
    let exec: Vec<String> = exec.iter().map(Needed::to_string).collect();
    assert_eq!(exec, ["get pods/exec", "create pods/exec"]);
}
