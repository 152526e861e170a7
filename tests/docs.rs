//! The documents agree with the code, and keep to the glossary.

use std::path::Path;

use clerk_auth::Reason;

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
            // Tests with a harness of their own: tests/databases.
            names.extend(text.split("\npub fn ").skip(1).filter_map(|part| {
                let (name, rest) = part.split_once('(')?;
                rest.starts_with("target: &Target)").then(|| name.to_owned())
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

/// The paths and contents of the files below a file or folder, without those in `SKIPPED`.
fn sources(root: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(root)];
    while let Some(path) = paths.pop() {
        if SKIPPED.iter().any(|skipped| format!("{}/", path.display()).contains(skipped)) {
            continue;
        }
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

/// The files and folders whose words are checked.
const PROSE: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "include",
    "src",
    "examples",
    "benches",
    "tests",
    "bindings",
];

/// Recorded data, dependencies, build output, and the lists below.
const SKIPPED: &[&str] = &[
    "/corpus/",
    "/data/",
    "/node_modules/",
    "/build/",
    "/lib/linux_",
    "/runtimes/",
    "package-lock.json",
    "tests/docs.rs",
];

/// Names of other projects that contain a banned word.
const FOREIGN: &[&str] = &["Math.floor", "chrono::floor", "commit hook", "cleanup hook", "HOOKS", "adds the hook"];

/// Words and phrases that readers of JOSE, OAuth and HTTP documents would not search for. Each stands for whole words.
const BANNED: &[&str] = &[
    "anew",
    "asks clerk",
    "be had",
    "belongs into",
    "brought up to date",
    "cannot be asked",
    "clerk answers",
    "clerk's answer",
    "come in",
    "comes in",
    "diary",
    "floor",
    "forgets",
    "grave",
    "graver",
    "handed on",
    "hearsay",
    "hook",
    "hooks",
    "host's",
    "house",
    "if need be",
    "in step with",
    "in vain",
    "is no good",
    "is no more",
    "judge",
    "judged",
    "kept in step",
    "kept out",
    "learns",
    "let in",
    "lets in",
    "never good",
    "nobody",
    "nobody's",
    "nothing of",
    "of late",
    "out of reach",
    "overrule",
    "overruled",
    "overrules",
    "own words",
    "patience",
    "ration",
    "remembered",
    "remembers",
    "rig",
    "somebody",
    "stand-in",
    "stands for",
    "stands in",
    "stands twice",
    "stranger",
    "strangers",
    "tells",
    "the seed",
    "told",
    "turned away",
    "union in which",
    "vouches",
    "wants",
    "who calls",
    "who is calling",
    "whoever",
    "whomever",
];

/// Lower case, white space and comment marks as single spaces, and a space for everything that is not part of a word.
fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || "'_-".contains(c) { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The banned words in a text, without the names of other projects.
fn banned(text: &str) -> Vec<&'static str> {
    let own = FOREIGN.iter().fold(text.to_owned(), |text, name| text.replace(name, ""));
    let words = words(&own);
    BANNED.iter().copied().filter(|banned| words.contains(&format!(" {banned} "))).collect()
}

#[test]
fn planted_banned_words_are_found() {
    assert_eq!(banned("/// It is\n/// told of late."), ["of late", "told"]);
    assert_eq!(banned("Math.floor(hooked)"), [""; 0]);
}

#[test]
fn banned_words_do_not_occur_in_prose() {
    let files: Vec<(String, String)> = PROSE.iter().flat_map(|root| sources(root)).collect();
    assert!(files.len() > 400, "{}", files.len());
    assert!(files.iter().any(|(path, _)| path.ends_with("docs/site/tasks/troubleshoot.md")));
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| banned(text).into_iter().map(move |word| format!("{path}: {word}")))
        .collect();
    assert!(found.is_empty(), "use the terms of docs/glossary.md instead:\n{}", found.join("\n"));
}

#[test]
fn banned_words_do_not_occur_in_test_names() {
    let mut names = Vec::new();
    for folder in ["src", "tests"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
    }
    assert!(names.len() > 300, "{}", names.len());
    let found: Vec<String> = names
        .iter()
        .flat_map(|name| banned(&name.replace('_', " ")).into_iter().map(move |word| format!("{name}: {word}")))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_target_of_the_reliability_campaign_states_when_it_runs() {
    let (makefile, page) = (read("Makefile"), read("docs/reliability.md"));
    let part = |text: &str, begin: &str, end: &str| {
        text.split_once(begin).unwrap().1.split_once(end).unwrap().0.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let section = part(&makefile, "\n# --- reliability", "\n# --- ");
    let targets: Vec<&str> = section
        .iter()
        .filter_map(|line| line.split_once(": ").filter(|(_, rest)| rest.contains("## ")))
        .map(|(name, _)| name)
        .collect();
    assert!(targets.len() >= 12 && targets.contains(&"crash"), "{targets:?}");
    let rows = part(&page, "\n## What runs when", "\n## ");
    for target in targets {
        let is_row = |row: &&String| {
            let commands = row.split('|').nth(1).unwrap_or_default();
            commands
                .split('`')
                .skip(1)
                .step_by(2)
                .any(|c| c.strip_prefix("make ").and_then(|c| c.split(' ').next()) == Some(target))
        };
        let found: Vec<_> = rows.iter().filter(is_row).collect();
        assert!(found.len() == 1 && found[0].matches('|').count() == 5, "make {target}: {found:?}");
    }
    // The minimum of both is one.
    let minimum = read("scripts/cover.sh");
    let minimum = minimum.lines().find_map(|line| line.strip_prefix("minimum=")).unwrap();
    for text in [&makefile, &page] {
        assert!(text.contains(&format!("{minimum} %")), "{minimum}");
    }
}

/// The headings of the third level of the page on rejected requests, each with the line that follows.
fn troubleshooting_entries() -> Vec<(String, String)> {
    let page = read("docs/site/tasks/troubleshoot.md");
    let lines: Vec<&str> = page.lines().filter(|line| !line.is_empty()).collect();
    let is_entry = |pair: &&[&str]| pair[0].starts_with("### ");
    lines.windows(2).filter(is_entry).map(|pair| (pair[0][4..].to_owned(), pair[1].to_owned())).collect()
}

#[test]
fn every_reason_has_one_troubleshooting_entry_with_cause_and_cure() {
    let entries = troubleshooting_entries();
    let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let mut reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    names.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(names, reasons);
    let page = read("docs/site/tasks/troubleshoot.md");
    for part in page.split("\n### ").skip(1) {
        assert!(part.contains("\n: **Cause.** ") && part.contains("\n: **Cure.** "), "{part}");
    }
}

#[test]
fn troubleshooting_entry_states_the_status_of_its_category() {
    for (name, statuses) in troubleshooting_entries() {
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == name).unwrap();
        let status = reason.category().http_status().to_string();
        // A redirect is stated in addition, or alone where the request is signed in without it.
        assert!(statuses.starts_with(&status) || statuses.starts_with("307"), "{name}: {statuses}");
    }
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
