//! The documents agree with the code, and keep to the glossary.

use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn readme_names_the_minimum_rust_version() {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find(|l| l.starts_with("rust-version")).unwrap();
    let version = line.split('"').nth(1).unwrap();
    assert!(read("README.md").contains(&format!("Rust {version} or newer")));
}

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            names.extend(text.split("#[test]").skip(1).filter_map(|part| {
                let name = part.split_once("fn ")?.1.split_once('(')?.0;
                Some(name.to_owned())
            }));
        }
    }
}

#[test]
fn tests_named_in_security_page_exist() {
    let mut names = Vec::new();
    for folder in ["src", "tests"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
    }
    let page = read("docs/security.md");
    let named: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("_"))
        .flat_map(|line| line.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .filter(|name| !name.contains('/'))
        .collect();
    assert!(named.len() > 30);
    for name in named {
        assert!(names.iter().any(|n| n == name), "docs/security.md names a test that does not exist: {name}");
    }
}

/// The paths and contents of all files below a file or folder.
fn sources(root: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(root)];
    while let Some(path) = paths.pop() {
        match path.is_dir() {
            true => paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())),
            // Binary files hold no prose.
            false => found.extend(std::fs::read_to_string(&path).ok().map(|text| (path.display().to_string(), text))),
        }
    }
    found
}

#[test]
fn a14_unsafe_code_lives_in_ffi_alone() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("\nunsafe_code = \"deny\"\n") && manifest.contains("\n[lints]\nworkspace = true\n"));
    for (path, text) in sources("src") {
        assert!(path.contains("/src/ffi/") || !text.contains("allow(unsafe_code"), "{path}");
    }
}

#[test]
fn a1_no_mac_can_be_reached_where_tokens_are_verified() {
    for (path, text) in sources("src/jwt").into_iter().chain(sources("src/keys")) {
        assert!(!text.to_ascii_lowercase().contains("hmac"), "{path}");
    }
}

/// The files and folders whose prose is checked.
const PROSE: &[&str] =
    &["README.md", "CHANGELOG.md", "docs", "src/config", "src/reason.rs", "src/events.rs", "src/token.rs"];

/// Words and phrases that readers of JOSE, OAuth and HTTP documents would not search for. Each stands for whole words.
const BANNED: &[&str] = &[
    "anew",
    "brought up to date",
    "come in",
    "comes in",
    "floor",
    "grave",
    "graver",
    "handed on",
    "hearsay",
    "hook",
    "hooks",
    "host's",
    "house",
    "is no good",
    "kept out",
    "let in",
    "lets in",
    "nobody",
    "nobody's",
    "of late",
    "out of reach",
    "own words",
    "patience",
    "remembered",
    "remembers",
    "stand-in",
    "stranger",
    "strangers",
    "the host",
    "the seed",
    "told",
    "whoever",
];

/// Lower case, white space and comment marks as single spaces, and a space for everything that is not part of a word.
fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || "'_-".contains(c) { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn banned_words_do_not_occur_in_prose() {
    let mut found = Vec::new();
    for (path, text) in PROSE.iter().flat_map(|root| sources(root)) {
        let words = words(&text);
        let used = BANNED.iter().filter(|banned| words.contains(&format!(" {banned} ")));
        found.extend(used.map(|banned| format!("{path}: {banned}")));
    }
    assert!(found.is_empty(), "use the terms of docs/glossary.md instead:\n{}", found.join("\n"));
}

#[test]
fn glossary_terms_are_sorted_and_used() {
    let glossary = read("docs/glossary.md");
    let terms: Vec<&str> = glossary
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|term| *term != "term")
        .collect();
    assert!(terms.len() >= 24 && terms.is_sorted(), "{terms:?}");
    let folders = ["README.md", "ARCHITECTURE.md", "docs", "src", "include", "bindings/README.md"];
    let texts: String = folders
        .iter()
        .flat_map(|root| sources(root))
        .filter(|(path, _)| !path.ends_with("glossary.md"))
        .map(|(_, text)| words(&text))
        .collect();
    for term in terms.iter().map(|term| words(term).trim().to_owned()) {
        let plural = format!("{}s", term.strip_suffix('y').map_or(term.clone(), |stem| format!("{stem}ie")));
        // Identifiers count: `CircuitBreaker`, `stale_if_error`.
        let forms = [term.clone(), plural, term.replace(' ', ""), term.replace([' ', '-'], "_")];
        let is_used = forms.iter().any(|form| texts.contains(&format!(" {form} ")));
        assert!(is_used, "docs/glossary.md defines a term that is not used: {term}");
    }
}
