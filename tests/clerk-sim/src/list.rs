//! The list endpoints: filters and paging.

use crate::complete;
use crate::http::{Request, Response};
use crate::response;
use crate::state::ApiState;
use serde_json::{Value, json};

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 500;

/// `GET /users`: filters by id, e-mail address, username, external id and ban; newest first.
pub fn users(request: &Request, state: &ApiState) -> Response {
    let query = Query::of(request);
    let mut found: Vec<Value> = state.users.iter().map(|(id, partial)| complete::user(id, partial)).collect();
    found.retain(|user| {
        let addresses = user["email_addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        query.allows("user_id", user["id"].as_str())
            && query.allows("username", user["username"].as_str())
            && query.allows("external_id", user["external_id"].as_str())
            && query.first("banned").is_none_or(|banned| user["banned"] == json!(banned == "true"))
            && (query.all("email_address").is_empty()
                || addresses.iter().any(|address| query.allows("email_address", address["email_address"].as_str())))
    });
    sort(&mut found, query.first("order_by").unwrap_or("-created_at"));
    if let Some(last) = query.first("starting_after") {
        let index = found.iter().position(|user| user["id"] == last);
        found.drain(..index.map_or(found.len(), |index| index + 1));
    }
    page(found, &query, None)
}

/// `GET /sessions`: filters by user, client and status; `paginated=true` wraps the list.
pub fn sessions(request: &Request, state: &ApiState) -> Response {
    let query = Query::of(request);
    let mut found: Vec<Value> = state.sessions.iter().map(|(id, partial)| complete::session(id, partial)).collect();
    found.retain(|session| {
        ["user_id", "client_id", "status"].iter().all(|name| query.allows(name, session[*name].as_str()))
    });
    sort(&mut found, "-created_at");
    let total = (query.first("paginated") == Some("true")).then_some(found.len());
    page(found, &query, total)
}

fn sort(found: &mut [Value], order: &str) {
    let name = order.trim_start_matches(['+', '-']);
    found.sort_by_key(|item| item[name].as_i64().unwrap_or(0));
    if order.starts_with('-') {
        found.reverse();
    }
}

fn page(found: Vec<Value>, query: &Query, total: Option<usize>) -> Response {
    let number = |name: &str| match query.first(name) {
        None => Ok(None),
        Some(value) => value.parse::<usize>().map(Some).map_err(|_| {
            response::error(422, "form_param_format_invalid", "Parameter invalid", &format!("{name} must be a number"))
        }),
    };
    let (limit, offset) = match (number("limit"), number("offset")) {
        (Ok(limit), Ok(offset)) => (limit, offset.unwrap_or(0)),
        (Err(rejection), _) | (_, Err(rejection)) => return rejection,
    };
    // A limit above the maximum is not an error: the default is used.
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)).unwrap_or(DEFAULT_LIMIT);
    let page: Vec<Value> = found.into_iter().skip(offset).take(limit).collect();
    match total {
        Some(total) => response::object(&json!({"data": page, "total_count": total})),
        None => response::object(&Value::Array(page)),
    }
}

struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; `name`, `name[]` and repeated names are the same list.
    fn of(request: &Request) -> Query {
        let pairs = request.query().into_iter();
        Query(pairs.map(|(name, value)| (name.trim_end_matches("[]").to_owned(), value)).collect())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Returns whether a value matches the filter of this name; every value matches an absent filter.
    fn allows(&self, name: &str, value: Option<&str>) -> bool {
        let accepted = self.all(name);
        accepted.is_empty() || value.is_some_and(|value| accepted.contains(&value))
    }
}
