//! The commands of `clerk-sim`: serve the fake Clerk API; print tokens, keys and webhooks.

use crate::webhook::{WebhookSpec, create};
use crate::{ApiState, Error, Fault, Json, KeyStore, Leaf, Result, Sim, TokenSpec, corpus, recipe};
use lexopt::Arg::{Long, Short, Value as Command};
use lexopt::ValueExt;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const USAGE: &str = "\
clerk-sim serve [--listen ADDR] [--admin-listen ADDR] [--https] [--leaf ok|expired|wrong-host|self-signed]
                [--keys FILE] [--state FILE] [--ca-file FILE] [--ready-file FILE] [--exit-with-stdin]
clerk-sim mint  [--kind session-v2|session-v1|template|oauth-jwt|m2m-jwt] [--user ID] [--sid ID] [--azp URL]
                [--aud AUD]... [--iss URL] [--exp-in S] [--iat-in S] [--nbf-in S] [--sts STATUS] [--key NAME]
                [--kid ID] [--cat TAG] [--org-id ID] [--org-slug S] [--org-role R] [--org-permissions A,B]
                [--scopes A,B] [--claim NAME=JSON]... [--spoil expired|not-yet|wrong-key|tampered|alg-none]
                [--spec JSON] [--recipe JSON] [--keys FILE] [--now N]
clerk-sim key   [--name NAME] [--form pem|jwk|kid|private_pem|...] [--keys FILE]
clerk-sim webhook --type TYPE [--id ID] [--user ID] [--org ID] [--data JSON] [--body STRING] [--secret whsec_...]
                [--svix-id ID] [--timestamp N] [--bad-signature] [--state FILE]
";

/// Runs a command; `arguments` are without the name of the program.
///
/// # Errors
///
/// Wrong usage, or a file or a port that cannot be used.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    let mut args = lexopt::Parser::from_args(arguments);
    match args.next().map_err(usage)? {
        Some(Command(command)) if command == "serve" => serve(&mut args),
        Some(Command(command)) if command == "mint" => mint(&mut args),
        Some(Command(command)) if command == "key" => key(&mut args),
        Some(Command(command)) if command == "webhook" => webhook(&mut args),
        Some(Long("help") | Short('h')) => print(USAGE),
        Some(other) => Err(usage(other.unexpected())),
        None => Err(Error::new(format!("missing command\n{USAGE}"))),
    }
}

/// Writes to the standard output. A reader that closes it early, such as `head`, is no failure.
fn print(line: &str) -> Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn usage(error: lexopt::Error) -> Error {
    Error::new(format!("{error}\n{USAGE}"))
}

/// The options of a command, by name; flags have an empty value.
struct Options(Vec<(String, String)>);

impl Options {
    fn read(args: &mut lexopt::Parser, values: &[&str], flags: &[&str]) -> Result<Options> {
        let mut found = Vec::new();
        while let Some(arg) = args.next().map_err(usage)? {
            match arg {
                Long(name) if flags.contains(&name) => found.push((name.to_owned(), String::new())),
                Long(name) if values.contains(&name) => {
                    let name = name.to_owned();
                    let value = args.value().and_then(|value| value.string()).map_err(usage)?;
                    found.push((name, value));
                }
                other => return Err(usage(other.unexpected())),
            }
        }
        Ok(Options(found))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let invalid = |_| Error::new(format!("--{name}: invalid value"));
        self.get(name).map(|value| value.parse().map_err(invalid)).transpose()
    }

    /// Returns the built-in keys and those of `--keys`.
    fn keys(&self) -> Result<KeyStore> {
        let mut keys = KeyStore::built_in();
        if let Some(path) = self.get("keys") {
            keys.merge(KeyStore::load(path)?);
        }
        Ok(keys)
    }

    /// Returns the state and the faults of `--state`.
    fn state(&self, keys: &KeyStore) -> Result<(ApiState, Vec<Fault>)> {
        let mut state = ApiState::default();
        let Some(path) = self.get("state") else { return Ok((state, Vec::new())) };
        let json = std::fs::read_to_string(path).map_err(|error| Error::new(format!("{path}: {error}")))?;
        let api: Value = serde_json::from_str(&json)?;
        state.merge_json(&api, keys)?;
        Ok((state, corpus::faults(&api)?))
    }
}

fn serve(args: &mut lexopt::Parser) -> Result<()> {
    let values = ["listen", "admin-listen", "leaf", "keys", "state", "ca-file", "ready-file"];
    let options = Options::read(args, &values, &["https", "exit-with-stdin"])?;
    let keys = options.keys()?;
    let (state, faults) = options.state(&keys)?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut builder = Sim::builder().keys(keys).state(state);
    builder = builder.admin(options.parsed("admin-listen")?.unwrap_or(loopback));
    builder = builder.listen(options.parsed("listen")?.unwrap_or(loopback)).https(options.has("https"));
    if let Some(leaf) = options.parsed::<Leaf>("leaf")? {
        builder = builder.leaf(leaf);
    }
    let sim = builder.try_start()?;
    sim.set_faults(faults);

    let mut temporary_ca = None;
    let mut ready = json!({"url": sim.url(), "admin_url": sim.admin_url()});
    if let Some(pem) = sim.try_ca_pem() {
        let path = options.get("ca-file").map_or_else(temporary_ca_file, PathBuf::from);
        std::fs::write(&path, pem)?;
        ready["https_url"] = json!(sim.https_url());
        ready["ca_pem_file"] = json!(path.display().to_string());
        temporary_ca = (!options.has("ca-file")).then_some(path);
    }
    if let Some(path) = options.get("ready-file") {
        write_atomically(Path::new(path), &format!("{ready}\n"))?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "{ready}")?;
    out.flush()?;

    if options.has("exit-with-stdin") {
        let mut buffer = [0; 1024];
        while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
        drop(sim);
        if let Some(path) = temporary_ca {
            let _ = std::fs::remove_file(path);
        }
        return Ok(());
    }
    // SIGTERM and SIGINT end the process; there is nothing to save.
    loop {
        std::thread::park();
    }
}

fn temporary_ca_file() -> PathBuf {
    std::env::temp_dir().join(format!("clerk-sim-ca-{}.pem", std::process::id()))
}

/// Writes a temporary file and renames it, so that no reader sees a partial file.
fn write_atomically(path: &Path, content: &str) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    std::fs::write(&temporary, content)?;
    Ok(std::fs::rename(&temporary, path)?)
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn split_list(list: &str) -> Vec<&str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn mint(args: &mut lexopt::Parser) -> Result<()> {
    let strings = ["kind", "user", "sid", "azp", "iss", "sts", "key", "kid", "cat", "spoil"];
    let numbers = ["exp-in", "iat-in", "nbf-in"];
    let others = [
        "aud",
        "org-id",
        "org-slug",
        "org-role",
        "org-permissions",
        "scopes",
        "client-id",
        "claim",
        "spec",
        "recipe",
        "keys",
        "now",
    ];
    let options = Options::read(args, &[&strings[..], &numbers, &others].concat(), &[])?;
    let keys = options.keys()?;
    let now = options.parsed("now")?.unwrap_or_else(now_s);
    if let Some(json) = options.get("recipe") {
        print(&format!("{}\n", recipe::mint(&Json::parse(json)?, &keys, now)?))?;
        return Ok(());
    }
    let mut spec: Map<String, Value> = options.get("spec").map(serde_json::from_str).transpose()?.unwrap_or_default();
    for name in strings {
        if let Some(value) = options.get(name) {
            spec.insert(name.to_owned(), json!(value));
        }
    }
    for name in numbers {
        if let Some(number) = options.parsed::<i64>(name)? {
            spec.insert(name.replace('-', "_"), json!(number));
        }
    }
    if let Some(client) = options.get("client-id") {
        spec.insert("client_id".to_owned(), json!(client));
    }
    if let Some(scopes) = options.get("scopes") {
        spec.insert("scopes".to_owned(), json!(split_list(scopes)));
    }
    let audience: Vec<&str> =
        options.0.iter().filter(|(name, _)| name == "aud").map(|(_, value)| value.as_str()).collect();
    match audience.as_slice() {
        [] => {}
        [one] => drop(spec.insert("aud".to_owned(), json!(one))),
        several => drop(spec.insert("aud".to_owned(), json!(several))),
    }
    if let Some(id) = options.get("org-id") {
        let permissions = split_list(options.get("org-permissions").unwrap_or_default());
        let org = json!({"id": id, "slug": options.get("org-slug"), "role": options.get("org-role"),
                         "permissions": permissions});
        spec.insert("org".to_owned(), org);
    }
    for (_, claim) in options.0.iter().filter(|(name, _)| name == "claim") {
        let (name, json) = claim.split_once('=').ok_or_else(|| Error::new("--claim: must be NAME=JSON"))?;
        let claims = spec.entry("claims").or_insert_with(|| json!({}));
        claims[name] = serde_json::from_str(json)?;
    }
    let spec: TokenSpec = serde_json::from_value(Value::Object(spec))?;
    print(&format!("{}\n", spec.mint(&keys, "k1", now)?))?;
    Ok(())
}

fn key(args: &mut lexopt::Parser) -> Result<()> {
    let options = Options::read(args, &["name", "form", "keys"], &[])?;
    let (name, form) = (options.get("name").unwrap_or("k1"), options.get("form").unwrap_or("pem"));
    let keys = options.keys()?;
    let encoded = match form {
        "jwks" => keys.jwks(&[name])?.to_string(),
        form => keys.get(name)?.form(form).ok_or_else(|| Error::new(format!("{form}: unknown form")))?,
    };
    print(&format!("{}\n", encoded.trim_end()))?;
    Ok(())
}

fn webhook(args: &mut lexopt::Parser) -> Result<()> {
    let strings = ["type", "id", "user", "org", "body", "secret", "svix-id"];
    let others = ["data", "timestamp", "keys", "state"];
    let options = Options::read(args, &[&strings[..], &others].concat(), &["bad-signature"])?;
    let (state, _) = options.state(&options.keys()?)?;
    let mut spec = Map::new();
    for name in strings {
        if let Some(value) = options.get(name) {
            spec.insert(name.replace('-', "_"), json!(value));
        }
    }
    if let Some(data) = options.get("data") {
        spec.insert("data".to_owned(), serde_json::from_str(data)?);
    }
    if let Some(timestamp) = options.parsed::<i64>("timestamp")? {
        spec.insert("timestamp".to_owned(), json!(timestamp));
    }
    spec.insert("bad_signature".to_owned(), json!(options.has("bad-signature")));
    let spec: WebhookSpec = serde_json::from_value(Value::Object(spec))?;
    let delivery = create(&spec, &state, now_s() * 1000)?;
    let headers: Map<String, Value> = delivery.headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
    print(&format!("{}\n", json!({"headers": headers, "body": delivery.body})))?;
    Ok(())
}
