//! The header matches the sources and its template, follows its conventions, compiles in every dialect without a warning,
//! and declares every function of the library.

mod dialects;
mod error_calls;
mod generator;

use std::path::Path;

use generator::{arrange, items, template};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> String {
    read("include/clerk_auth.h")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// A function that the header declares.
struct Function {
    name: String,
    /// Its comment, in one line.
    doc: String,
    is_nodiscard: bool,
    returns: String,
    /// Type and name of each parameter.
    parameters: Vec<(String, String)>,
}

fn functions(header: &str) -> Vec<Function> {
    let blocks = header.split("\n\n/**").skip(1);
    blocks.filter_map(|block| function(block.split("\n\n").next()?)).collect()
}

/// Reads a comment without its beginning, and the declaration behind it.
fn function(block: &str) -> Option<Function> {
    let end = block.rfind("*/")?;
    let doc = block[..end].lines().map(|line| line.trim().trim_start_matches('*').trim()).collect::<Vec<_>>().join(" ");
    let code = block[end + 2..].split_whitespace().collect::<Vec<_>>().join(" ");
    let (is_nodiscard, code) = match code.strip_prefix("CLERK_NODISCARD ") {
        Some(rest) => (true, rest),
        None => (false, code.as_str()),
    };
    let (before, parameters) = code.strip_suffix(");")?.split_once('(')?;
    let (returns, name) = split_name(before)?;
    if code.starts_with("typedef") || !name.starts_with("clerk_") {
        return None;
    }
    let parameters = match parameters {
        "void" => Vec::new(),
        list => list.split(", ").map(|parameter| split_name(parameter).unwrap()).collect(),
    };
    Some(Function { name, doc: doc.trim().to_owned(), is_nodiscard, returns, parameters })
}

/// `const char *name` as `const char *` and `name`.
fn split_name(declaration: &str) -> Option<(String, String)> {
    let at = declaration.rfind([' ', '*'])? + 1;
    let (kind, name) = declaration.split_at(at);
    Some((kind.trim().to_owned(), name.to_owned()))
}

fn names(header: &str) -> Vec<String> {
    let mut names: Vec<String> = functions(header).into_iter().map(|function| function.name).collect();
    names.sort();
    names
}

#[test]
fn committed_header_matches_sources() {
    let header = generator::header();
    let calls = error_calls::generate(&functions(&header));
    if std::env::var_os("CLERK_WRITE_HEADER").is_some() {
        std::fs::write(root().join("include/clerk_auth.h"), &header).unwrap();
        std::fs::write(root().join("tests/abi/symbols.txt"), names(&header).join("\n") + "\n").unwrap();
        std::fs::write(root().join("tests/c/error_calls.h"), &calls).unwrap();
    }
    assert!(header == committed(), "include/clerk_auth.h is out of date; run `make header` and review the difference");
    assert!(calls == read("tests/c/error_calls.h"), "tests/c/error_calls.h is out of date; run `make header`");
}

#[test]
fn committed_symbols_match_header() {
    assert_eq!(names(&committed()), read("tests/abi/symbols.txt").lines().collect::<Vec<_>>());
}

const SAMPLE: &str = "/**\n * One.\n */\nint32_t clerk_one(void);\n\n/**\n * Two.\n */\nint32_t clerk_two(void);";

#[test]
fn sections_place_each_item_once() {
    let header = arrange("@item clerk_two\n\n@item clerk_one", &items(SAMPLE));
    assert_eq!(header, "/** Two. */\nint32_t clerk_two(void);\n\n/** One. */\nint32_t clerk_one(void);\n\n");
}

#[test]
#[should_panic(expected = "in no section of include/clerk_auth.h.in: [\"clerk_two\"]")]
fn sections_without_an_item_fail() {
    arrange("@item clerk_one", &items(SAMPLE));
}

#[test]
#[should_panic(expected = "clerk_one is in two sections")]
fn sections_with_an_item_twice_fail() {
    arrange("@item clerk_one\n@item clerk_two\n@item clerk_one", &items(SAMPLE));
}

#[test]
fn sections_follow_the_order_of_use() {
    let template = template();
    let found: Vec<&str> = template.lines().filter_map(|line| line.strip_prefix(" * Section - ")).collect();
    let order = [
        "Version",
        "String",
        "Status",
        "Config",
        "Client",
        "Metrics",
        "Request",
        "Authenticate",
        "Result",
        "Explanation",
        "User store",
        "Asynchronous user store",
        "Events and log",
        "Shared cache",
        "Webhooks",
    ];
    assert_eq!(found, order);
}

#[test]
fn comments_have_no_rustdoc_links_and_fit_the_width() {
    for (number, line) in committed().lines().enumerate() {
        let at = number + 1;
        assert!(!line.contains("[`") && !line.contains("`]"), "{at}: a link of rustdoc: {line}");
        assert!(!line.contains("//") || line.starts_with(" * ") || line.ends_with(" // extern \"C\""), "{at}: {line}");
        assert!(line.chars().count() <= 120, "{at}: too wide: {line}");
    }
}

/// What it does or returns, verb first; the returned value; the threads.
#[test]
fn functions_document_value_and_threads() {
    for function in functions(&committed()) {
        let (name, doc) = (&function.name, &function.doc);
        let verb = doc.split(' ').next().unwrap();
        assert!(verb.ends_with('s') && verb.starts_with(char::is_uppercase), "{name}: begins with {verb:?}");
        assert!(function.returns == "void" || doc.contains("Returns "), "{name}: what does it return?");
        assert!(doc.contains("thread at a time") || doc.contains("Any thread"), "{name}: which threads may call it?");
        let frees = ["Frees", "frees", "Drops", "belongs to", "lives as long", "is static", "also in callbacks"];
        let owns = function.returns.contains('*') || function.returns == "clerk_str";
        assert!(!owns || frees.iter().any(|word| doc.contains(word)), "{name}: who owns what it returns?");
    }
}

#[test]
fn functions_that_return_a_status_are_nodiscard() {
    for function in functions(&committed()) {
        let doc = &function.doc;
        let is_status = function.returns == "int32_t"
            && (doc.contains("CLERK_OK")
                || doc.contains("negative status")
                || doc.to_lowercase().contains("returns as "));
        assert_eq!(function.is_nodiscard, is_status, "{}", function.name);
    }
    let count = functions(&committed()).iter().filter(|function| function.is_nodiscard).count();
    assert_eq!(count, 59);
}

/// cbindgen ignores functions made by macros: the sources are read as text.
#[test]
fn exported_functions_are_guarded_and_declared() {
    let mut exported = Vec::new();
    for entry in std::fs::read_dir(root().join("src/ffi")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let function = part.split_once("fn ").unwrap().1;
            exported.push(function.split_once('(').unwrap().0.to_owned());
            let end = function.find("\n}").unwrap();
            let body = &function[..end];
            // Either directly or through a helper whose own body is guarded.
            let helpers = [
                "guard(",
                "report(error",
                "with_client(client",
                "accessor(client",
                "set(response",
                "change(config",
                "blocking(client",
                "begin(client",
                "attribute(result",
            ];
            assert!(helpers.iter().any(|helper| body.contains(helper)), "not guarded: {}", exported.last().unwrap());
        }
        for line in text.lines().filter(|line| line.contains("extern \"C\" fn ") && line.starts_with("pub")) {
            let name = line.split_once("fn ").unwrap().1.split_once('(').unwrap().0;
            assert!(exported.iter().any(|e| e == name), "exported without no_mangle: {name}");
        }
    }
    exported.sort();
    assert_eq!(exported, names(&committed()));
}

#[test]
fn versions_match_cargo_and_changelog() {
    let version = env!("CARGO_PKG_VERSION");
    let header = committed();
    let part = |name: &str| -> u32 {
        let line = header.lines().find(|l| l.starts_with(&format!("#define CLERK_VERSION_{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(format!("{}.{}.{}", part("MAJOR"), part("MINOR"), part("PATCH")), version);
    let changelog = read("CHANGELOG.md");
    let top = changelog.lines().find(|l| l.starts_with("## ")).unwrap();
    assert!(top.contains(version), "CHANGELOG.md begins with {top}");
}
