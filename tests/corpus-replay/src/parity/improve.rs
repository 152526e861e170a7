//! Scenarios in which django-clerk-sdk is not to be followed: every member of `right_outcome` has to match.

use std::time::Duration;

use serde_json::Value;

use super::keep::same_second;
use super::scenario::{RequestOutcome, ScenarioOutcome};
use super::table::Row;

/// The members of `right_outcome` that do not match or are unknown.
#[derive(Debug, Default)]
pub struct Findings {
    /// Members that do not match.
    pub failed: Vec<String>,
    /// Members that are unknown to this program.
    pub unknown: Vec<String>,
}

/// Compares the outcome of a scenario with its `right_outcome`.
pub fn check(right: &Value, scenario: &ScenarioOutcome) -> Findings {
    let mut findings = Findings::default();
    for (name, expected) in right.as_object().into_iter().flatten() {
        match holds(name, expected, scenario) {
            Some(Ok(())) => {}
            Some(Err(actual)) => findings.failed.push(format!("{name}: {actual}, expected {expected}")),
            None => findings.unknown.push(format!("{name}: unknown")),
        }
    }
    findings
}

/// The actual value is the error.
type Match = Result<(), Value>;

fn holds(name: &str, expected: &Value, scenario: &ScenarioOutcome) -> Option<Match> {
    if let Some(rest) = name.strip_prefix("row_") {
        let (id, rest) = rest.split_once('_')?;
        let expected = expected.as_bool()?;
        return unchanged(id.parse().ok()?, rest, scenario).map(|same| equal(name, same.into(), &expected.into()));
    }
    if name == "within_ms" {
        let slowest = scenario.requests.iter().map(|request| request.took).max().unwrap_or_default();
        let ms = u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX);
        return Some(if slowest <= Duration::from_millis(expected.as_u64()?) { Ok(()) } else { Err(ms.into()) });
    }
    if let Some((name, number)) = name.rsplit_once("_of_request_") {
        let request = scenario.requests.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        return member(name, request).map(|actual| equal(name, actual, expected));
    }
    // An array has one value per request; every other value is about the last request.
    match expected {
        Value::Array(each) if name != "rows" => {
            let actual: Option<Vec<Value>> = scenario.requests.iter().map(|request| member(name, request)).collect();
            let actual = actual?;
            let same = actual.len() == each.len() && actual.iter().zip(each).all(|(o, e)| is_equal(name, o, e));
            Some(if same { Ok(()) } else { Err(actual.into()) })
        }
        _ => member(name, scenario.requests.last()?).map(|actual| equal(name, actual, expected)),
    }
}

fn is_equal(name: &str, actual: &Value, expected: &Value) -> bool {
    actual == expected || (name == "last_active_at" && same_second(actual, expected))
}

fn equal(name: &str, actual: Value, expected: &Value) -> Match {
    if is_equal(name, &actual, expected) { Ok(()) } else { Err(actual) }
}

/// Returns a member of one request. `authenticated` is whether the view has a user, by Clerk or by a session.
fn member(name: &str, request: &RequestOutcome) -> Option<Value> {
    let auth = request.auth.as_ref();
    Some(match name {
        "authenticated" => request.response.user.is_some().into(),
        "user_pk" => request.response.user.into(),
        "http_status" => request.response.http_status.into(),
        "has_credentials" => auth.map(|auth| auth.has_credentials()).into(),
        "reason" => auth.map(|auth| auth.reason.clone()).filter(|reason| !reason.is_empty()).into(),
        "source" => auth.and_then(|auth| auth.source).into(),
        "user_calls" | "api_calls" => request.user_calls.into(),
        "rows" => request.rows.len().into(),
        column => return user_row(request)?.get(column).cloned(),
    })
}

/// Returns the row of the view's user; without a user, the only row.
fn user_row(request: &RequestOutcome) -> Option<&Row> {
    match request.response.user {
        Some(id) => row(id, &request.rows),
        None if request.rows.len() == 1 => request.rows.first(),
        None => None,
    }
}

fn row(id: i64, rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row["id"] == id)
}

/// Evaluates `unchanged` (by the scenario) and `unchanged_by_request_N`.
fn unchanged(id: i64, what: &str, scenario: &ScenarioOutcome) -> Option<bool> {
    let (before, after) = match what.strip_prefix("unchanged")?.strip_prefix("_by_request_") {
        Some(number) => {
            let request = scenario.requests.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
            (&request.before, &request.rows)
        }
        None if what == "unchanged" => (&scenario.first_rows, &scenario.requests.last()?.rows),
        None => return None,
    };
    Some(row(id, before).is_some() && row(id, before) == row(id, after))
}
