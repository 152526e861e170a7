//! Reads the recorded cases: their tokens, requests, keys, and what the API holds and does wrong.

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::json::Json;
use crate::keys::KeyStore;
use crate::recipe::{self, fill_text, replace_marks};
use crate::state::ApiState;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder of cases and the keys they use.
pub struct Corpus {
    folder: PathBuf,
    /// Keys by name
    pub keys: KeyStore,
}

/// One case, in two views.
pub struct Case {
    /// Exact JSON: every number in its digits; recipes are to be read from here
    pub json: Json,
    /// The same for ordinary reading
    pub value: Value,
}

/// A request of a case, ready to be put to a verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRequest {
    /// HTTP method
    pub method: String,
    /// URL
    pub url: String,
    /// Header fields in their order; the cookies are the last one
    pub headers: Vec<(String, String)>,
}

/// Token texts by name.
pub type Tokens = BTreeMap<String, String>;

impl Case {
    /// Name of the case.
    pub fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }

    /// What the case is about.
    pub fn category(&self) -> &str {
        self.value["category"].as_str().unwrap_or_default()
    }
}

impl Corpus {
    /// Opens a folder that holds `keys.json`.
    pub fn open(folder: impl AsRef<Path>) -> Result<Corpus> {
        let folder = folder.as_ref().to_owned();
        Ok(Corpus { keys: KeyStore::load(folder.join("keys.json"))?, folder })
    }

    /// The cases of one file.
    pub fn cases(&self, file: &str) -> Result<Vec<Case>> {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
        let whole = Json::parse(&text)?;
        let cases = whole.get("cases").and_then(Json::items).ok_or_else(|| Error::new("cases: missing"))?;
        Ok(cases.iter().map(|case| Case { json: case.clone(), value: case.to_value() }).collect())
    }

    /// All tokens of a case, as of `now`.
    pub fn tokens(&self, case: &Case, now: i64) -> Result<Tokens> {
        let recipes = case.json.get("tokens").and_then(Json::members).unwrap_or_default();
        recipes
            .iter()
            .map(|(name, recipe)| match recipe::token(recipe, &self.keys, now) {
                Ok(token) => Ok((name.clone(), token)),
                Err(error) => Err(Error::new(format!("{}, token {name}: {error}", case.id()))),
            })
            .collect()
    }

    /// A request with its placeholders filled; `request` is the one of the case or of a prelude.
    pub fn request(&self, request: &Value, tokens: &Tokens, now: i64) -> Result<CaseRequest> {
        let text = |name: &str| {
            let found = request.get(name).and_then(Value::as_str);
            found.map(str::to_owned).ok_or_else(|| Error::new(format!("request.{name}: a text is needed")))
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
        Ok(CaseRequest { method: text("method")?, url: text("url")?, headers })
    }

    /// The text of a configured key: `{key, form}`, `{text}` or null.
    pub fn key_text(&self, option: &Value) -> Result<Option<String>> {
        if option.is_null() {
            return Ok(None);
        }
        if let Some(text) = option.get("text") {
            return Ok(text.as_str().map(str::to_owned));
        }
        let (name, form) = (option["key"].as_str().unwrap_or_default(), option["form"].as_str().unwrap_or_default());
        let found = self.keys.get(name)?.form(form);
        found.map(Some).ok_or_else(|| Error::new(format!("{name}: no form {form}")))
    }

    /// What the API holds at the start of a case, and its faults. Without a key set it holds no keys.
    pub fn api_state(&self, api: Option<&Value>) -> Result<(ApiState, Vec<Fault>)> {
        let mut state = ApiState { jwks: serde_json::json!({"keys": []}), ..ApiState::default() };
        let Some(api) = api.filter(|api| !api.is_null()) else { return Ok((state, Vec::new())) };
        state.merge_json(api, &self.keys)?;
        Ok((state, faults(api)?))
    }
}

/// The `faults` member of an `api` object.
pub fn faults(api: &Value) -> Result<Vec<Fault>> {
    match api.get("faults") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => Ok(serde_json::from_value(list.clone())?),
    }
}

/// Replaces `{{token:t}}`, `{{token_pct:t}}` (dots as %2E) and the placeholders of time in a text.
pub fn expand(text: &str, tokens: &Tokens, now: i64) -> String {
    let text = replace_marks(text, |mark| tokens.get(mark.strip_prefix("token:")?).cloned());
    let text = replace_marks(&text, |mark| Some(tokens.get(mark.strip_prefix("token_pct:")?)?.replace('.', "%2E")));
    fill_text(&text, now)
}

/// A list of `[name, value]`; a missing one is empty.
fn pairs(request: &Value, member: &str) -> Result<Vec<(String, String)>> {
    let unfit = || Error::new(format!("request.{member}: pairs of texts are needed"));
    let list = match request.get(member) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(unfit)?,
    };
    let pair = |item: &Value| Some((item.get(0)?.as_str()?.to_owned(), item.get(1)?.as_str()?.to_owned()));
    list.iter().map(|item| pair(item).ok_or_else(unfit)).collect()
}
