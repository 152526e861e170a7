//! Scenarios in which the seed is not to be followed: what is said to be right has to hold.

use std::time::Duration;

use serde_json::Value;

use super::keep::same_second;
use super::scene::{Asked, Played};
use super::table::Row;

/// What came of the members of `right_outcome`.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Members that do not hold.
    pub failed: Vec<String>,
    /// Members that nothing is known about here.
    pub unknown: Vec<String>,
}

pub fn judge(right: &Value, played: &Played) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, expected) in right.as_object().into_iter().flatten() {
        match holds(name, expected, played) {
            Some(Ok(())) => {}
            Some(Err(ours)) => verdict.failed.push(format!("{name}: {ours}, right is {expected}")),
            None => verdict.unknown.push(format!("{name}: unknown")),
        }
    }
    verdict
}

type Held = Result<(), Value>;

fn holds(name: &str, expected: &Value, played: &Played) -> Option<Held> {
    if let Some(rest) = name.strip_prefix("row_") {
        let (id, rest) = rest.split_once('_')?;
        let expected = expected.as_bool()?;
        return unchanged(id.parse().ok()?, rest, played).map(|same| equal(name, same.into(), &expected.into()));
    }
    if name == "within_ms" {
        let slowest = played.requests.iter().map(|asked| asked.took).max().unwrap_or_default();
        let ms = u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX);
        return Some(if slowest <= Duration::from_millis(expected.as_u64()?) { Ok(()) } else { Err(ms.into()) });
    }
    if let Some((name, number)) = name.rsplit_once("_of_request_") {
        let asked = played.requests.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        return member(name, asked).map(|ours| equal(name, ours, expected));
    }
    // A list says it of each request, everything else of the last one.
    match expected {
        Value::Array(each) if name != "rows" => {
            let ours: Option<Vec<Value>> = played.requests.iter().map(|asked| member(name, asked)).collect();
            let ours = ours?;
            let same = ours.len() == each.len() && ours.iter().zip(each).all(|(o, e)| is_equal(name, o, e));
            Some(if same { Ok(()) } else { Err(ours.into()) })
        }
        _ => member(name, played.requests.last()?).map(|ours| equal(name, ours, expected)),
    }
}

fn is_equal(name: &str, ours: &Value, expected: &Value) -> bool {
    ours == expected || (name == "last_active_at" && same_second(ours, expected))
}

fn equal(name: &str, ours: Value, expected: &Value) -> Held {
    if is_equal(name, &ours, expected) { Ok(()) } else { Err(ours) }
}

/// A member of one request. `authenticated` is about whom the view sees, whether by Clerk or by a session.
fn member(name: &str, asked: &Asked) -> Option<Value> {
    let answer = asked.answer.as_ref();
    Some(match name {
        "authenticated" => asked.seen.user.is_some().into(),
        "user_pk" => asked.seen.user.into(),
        "http_status" => asked.seen.http_status.into(),
        "has_credentials" => answer.map(|answer| answer.has_credentials()).into(),
        "reason" => answer.map(|answer| answer.reason.clone()).filter(|reason| !reason.is_empty()).into(),
        "source" => answer.and_then(|answer| answer.source).into(),
        "user_calls" | "api_calls" => asked.user_calls.into(),
        "rows" => asked.rows.len().into(),
        column => return own_row(asked)?.get(column).cloned(),
    })
}

/// The row of whoever came in, or else the only one.
fn own_row(asked: &Asked) -> Option<&Row> {
    match asked.seen.user {
        Some(id) => row(id, &asked.rows),
        None if asked.rows.len() == 1 => asked.rows.first(),
        None => None,
    }
}

fn row(id: i64, rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row["id"] == id)
}

/// `unchanged` since the beginning, or `unchanged_by_request_N`.
fn unchanged(id: i64, what: &str, played: &Played) -> Option<bool> {
    let (before, after) = match what.strip_prefix("unchanged")?.strip_prefix("_by_request_") {
        Some(number) => {
            let asked = played.requests.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
            (&asked.before, &asked.rows)
        }
        None if what == "unchanged" => (&played.first_rows, &played.requests.last()?.rows),
        None => return None,
    };
    Some(row(id, before).is_some() && row(id, before) == row(id, after))
}
