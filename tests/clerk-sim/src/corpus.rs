//! Reads the recorded cases: tokens, requests, keys, API state and faults.

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::json::Json;
use crate::keys::KeyStore;
use crate::recipe::{self, fill_string, replace_placeholders};
use crate::state::ApiState;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A directory of case files, and their keys.
pub struct Corpus {
    directory: PathBuf,
    /// Keys by name
    pub keys: KeyStore,
}

/// A recorded case, in two representations.
pub struct Case {
    /// Exact JSON, with the digits of every number; for recipes
    pub json: Json,
    /// The same as `serde_json::Value`
    pub value: Value,
}

/// A request of a case, with all placeholders replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRequest {
    /// HTTP method
    pub method: String,
    /// URL
    pub url: String,
    /// Header fields in their order; the last one has the cookies
    pub headers: Vec<(String, String)>,
}

/// Tokens by name.
pub type Tokens = BTreeMap<String, String>;

impl Case {
    /// Returns the id.
    pub fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }

    /// Returns the category.
    pub fn category(&self) -> &str {
        self.value["category"].as_str().unwrap_or_default()
    }
}

impl Corpus {
    /// Opens a directory that contains `keys.json`.
    pub fn open(directory: impl AsRef<Path>) -> Result<Corpus> {
        let directory = directory.as_ref().to_owned();
        Ok(Corpus { keys: KeyStore::load(directory.join("keys.json"))?, directory })
    }

    /// Reads the cases of a file.
    pub fn cases(&self, file: &str) -> Result<Vec<Case>> {
        let path = self.directory.join(file);
        let json = std::fs::read_to_string(&path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
        let file = Json::parse(&json)?;
        let cases = file.get("cases").and_then(Json::items).ok_or_else(|| Error::new("cases: missing"))?;
        Ok(cases.iter().map(|case| Case { json: case.clone(), value: case.to_value() }).collect())
    }

    /// Mints all tokens of a case at `now`.
    pub fn tokens(&self, case: &Case, now: i64) -> Result<Tokens> {
        let mut recipes: Vec<_> = case.json.get("tokens").and_then(Json::members).unwrap_or_default().iter().collect();
        let mut tokens = Tokens::new();
        // A token whose recipe names other tokens is minted after them.
        while !recipes.is_empty() {
            let names: Vec<String> = recipes.iter().map(|(name, _)| format!("{{{{token:{name}}}}}")).collect();
            let needs_other = |recipe: &Json| names.iter().any(|name| recipe.to_json().contains(name));
            let (later, ready): (Vec<_>, Vec<_>) = recipes.into_iter().partition(|(_, recipe)| needs_other(recipe));
            if ready.is_empty() {
                return Err(Error::new(format!("{}: tokens name each other", case.id())));
            }
            for (name, recipe) in ready {
                let token = recipe::mint(&with_tokens(recipe, &tokens), &self.keys, now)
                    .map_err(|error| Error::new(format!("{}, token {name}: {error}", case.id())))?;
                tokens.insert(name.clone(), token);
            }
            recipes = later;
        }
        Ok(tokens)
    }

    /// Replaces the placeholders of a request, which is that of the case or of a prelude.
    pub fn request(&self, request: &Value, tokens: &Tokens, now: i64) -> Result<CaseRequest> {
        let string = |name: &str| {
            let found = request.get(name).and_then(Value::as_str);
            found.map(str::to_owned).ok_or_else(|| Error::new(format!("request.{name}: must be a string")))
        };
        let mut headers = Vec::new();
        for (name, value) in pairs(request, "headers")? {
            headers.push((name, expand(&value, tokens, now)));
        }
        let cookies: Vec<String> = pairs(request, "cookies")?
            .into_iter()
            .map(|(name, value)| format!("{name}={}", expand(&value, tokens, now)))
            .collect();
        if !cookies.is_empty() {
            headers.push(("Cookie".to_owned(), cookies.join("; ")));
        }
        Ok(CaseRequest { method: string("method")?, url: expand(&string("url")?, tokens, now), headers })
    }

    /// Returns the value of a configured key: `{key, form}`, `{text}` or null.
    pub fn configured_key(&self, option: &Value) -> Result<Option<String>> {
        if option.is_null() {
            return Ok(None);
        }
        if let Some(key) = option.get("text") {
            return Ok(key.as_str().map(str::to_owned));
        }
        let (name, form) = (option["key"].as_str().unwrap_or_default(), option["form"].as_str().unwrap_or_default());
        let found = self.keys.get(name)?.form(form);
        found.map(Some).ok_or_else(|| Error::new(format!("{name}: unknown form {form}")))
    }

    /// Returns the API state at the start of a case, and its faults. Without a JWK set there are no keys.
    pub fn api_state(&self, api: Option<&Value>) -> Result<(ApiState, Vec<Fault>)> {
        let mut state = ApiState { jwks: serde_json::json!({"keys": []}), ..ApiState::default() };
        let Some(api) = api.filter(|api| !api.is_null()) else { return Ok((state, Vec::new())) };
        state.merge_json(api, &self.keys)?;
        Ok((state, faults(api)?))
    }
}

/// Reads the `faults` member of an `api` object.
pub fn faults(api: &Value) -> Result<Vec<Fault>> {
    match api.get("faults") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => Ok(serde_json::from_value(list.clone())?),
    }
}

/// Replaces `{{token:t}}`, `{{token_pct:t}}` (dots as %2E) and the time placeholders in a string.
pub fn expand(string: &str, tokens: &Tokens, now: i64) -> String {
    let string = replace_placeholders(string, |name| tokens.get(name.strip_prefix("token:")?).cloned());
    let percent_encoded = |name: &str| Some(tokens.get(name.strip_prefix("token_pct:")?)?.replace('.', "%2E"));
    fill_string(&replace_placeholders(&string, percent_encoded), now)
}

/// Replaces the placeholders in all strings of a JSON value.
pub fn expand_json(value: &Value, tokens: &Tokens, now: i64) -> Value {
    match value {
        Value::String(string) => Value::String(expand(string, tokens, now)),
        Value::Array(items) => items.iter().map(|item| expand_json(item, tokens, now)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), expand_json(value, tokens, now))).collect()
        }
        other => other.clone(),
    }
}

/// Replaces `{{token:t}}` in all strings of a recipe.
fn with_tokens(recipe: &Json, tokens: &Tokens) -> Json {
    let replace = |string: &str| replace_placeholders(string, |name| tokens.get(name.strip_prefix("token:")?).cloned());
    match recipe {
        Json::String(string) => Json::String(replace(string)),
        Json::Array(items) => Json::Array(items.iter().map(|item| with_tokens(item, tokens)).collect()),
        Json::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), with_tokens(value, tokens))).collect())
        }
        other => other.clone(),
    }
}

/// Reads an array of `[name, value]`; empty if absent.
fn pairs(request: &Value, member: &str) -> Result<Vec<(String, String)>> {
    let wrong_type = || Error::new(format!("request.{member}: must be an array of pairs of strings"));
    let list = match request.get(member) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(wrong_type)?,
    };
    let pair = |item: &Value| Some((item.get(0)?.as_str()?.to_owned(), item.get(1)?.as_str()?.to_owned()));
    list.iter().map(|item| pair(item).ok_or_else(wrong_type)).collect()
}
