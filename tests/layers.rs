//! The layers of ARCHITECTURE.md: a module imports from lower layers, or from its own layer without a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's layer by its name.
type Layers = BTreeMap<String, u32>;

/// Reads the rows `| layer | modules | …` of the modules directly below a folder.
fn layers(page: &str, folder: &str) -> Layers {
    let mut layers = Layers::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let (Some(Ok(layer)), Some(modules)) = (cells.next().map(str::parse), cells.next()) else { continue };
        for path in modules.split('`').skip(1).step_by(2) {
            let name = path.strip_prefix(folder).map(|rest| rest.trim_end_matches('/').trim_end_matches(".rs"));
            if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains('/')) {
                assert!(layers.insert(name.to_owned(), layer).is_none(), "{name} is listed twice");
            }
        }
    }
    layers
}

/// A source without comments and without its test module.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let source = source.split("#[cfg(all(test,").next().unwrap_or_default();
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first names after a prefix: of `crate::a::b`, and of each member of `crate::{a::b, c}`.
fn imports(source: &str, prefix: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let code = code(source);
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| is_word(c) || c == '$' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.insert(word(&group[start..i]));
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// Names that a file re-exports, with the modules they come from: `pub use module::{A, B}`.
fn reexports(root: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in code(root).split("pub use ").skip(1) {
        let Some((module, names)) = part.split(';').next().and_then(|path| path.split_once("::")) else { continue };
        for name in names.split(['{', '}', ',']).map(str::trim).filter(|name| !name.is_empty()) {
            found.insert(name.to_owned(), module.trim().to_owned());
        }
    }
    found
}

/// The violations among these imports (module, imported module).
fn violations(layers: &Layers, edges: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, to) in edges {
        match (layers.get(from), layers.get(to)) {
            (Some(own), Some(other)) if other > own => wrong.push(format!("{from} imports upward from {to}")),
            (Some(_), Some(_)) => {}
            (None, _) => wrong.push(format!("{from} has no layer")),
            (_, None) => wrong.push(format!("{from} imports {to}, which has no layer")),
        }
    }
    // Repeatedly removes imports of modules that import nothing themselves; the rest is on or before a cycle.
    let mut left = edges.clone();
    loop {
        let importing: BTreeSet<String> = left.iter().map(|(from, _)| from.clone()).collect();
        let before = left.len();
        left.retain(|(_, to)| importing.contains(to));
        if left.len() == before {
            break;
        }
    }
    wrong.extend(left.iter().map(|(from, to)| format!("{from} and {to} are on or before a cycle")));
    wrong
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The sources below a path, each with the name of the module directly below `src` or `src/client`; test modules excepted.
fn sources(folder: &Path) -> Vec<(String, String)> {
    fn below(path: &Path, module: &str, found: &mut Vec<(String, String)>) {
        if path.file_stem().is_some_and(|name| name == "tests") {
            return;
        }
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| below(&entry.unwrap().path(), module, found));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((module.to_owned(), read(path)));
        }
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        below(&path, path.file_stem().unwrap().to_str().unwrap(), &mut found);
    }
    found
}

fn edges(
    sources: &[(String, String)],
    prefix: &str,
    reexports: &BTreeMap<String, String>,
) -> BTreeSet<(String, String)> {
    let target = |name: String| reexports.get(&name).cloned().unwrap_or(name);
    let edges = sources.iter().flat_map(|(module, source)| {
        imports(source, prefix).into_iter().map(move |name| (module.clone(), target(name)))
    });
    edges.filter(|(from, to)| from != to).collect()
}

#[test]
fn modules_import_from_lower_layers_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read(&root.join("ARCHITECTURE.md"));
    for (folder, prefix, face) in [("src/", "crate::", "lib"), ("src/client/", "super::", "mod")] {
        let layers = layers(&page, folder);
        let names = reexports(&read(&root.join(folder).join(format!("{face}.rs"))));
        let mut sources = sources(&root.join(folder));
        sources.retain(|(module, _)| module != face);
        let modules: BTreeSet<&String> = sources.iter().map(|(module, _)| module).collect();
        assert_eq!(modules, layers.keys().collect(), "the table of ARCHITECTURE.md and the modules in {folder} differ");
        // In the client `super` is the module itself only for files directly in it, which all are.
        let mut edges = edges(&sources, prefix, &names);
        edges.retain(|(_, to)| !(folder == "src/client/" && to == "Client"));
        assert!(edges.len() > 15, "{edges:?}");
        assert_eq!(violations(&layers, &edges), Vec::<String>::new());
    }
}

fn planted(module: &str, source: &str) -> Vec<String> {
    let layers: Layers = [("low", 0), ("beside", 0), ("high", 1)].map(|(name, layer)| (name.into(), layer)).into();
    let sources = [(module.to_owned(), source.to_owned()), ("beside".into(), "use crate::low::Thing;".into())];
    let names = [("Reexported".to_owned(), "high".to_owned())].into();
    violations(&layers, &edges(&sources, "crate::", &names))
}

#[test]
fn planted_upward_import_is_found() {
    for source in [
        "use crate::high::Thing;",
        "use crate::high;",
        "use crate::{high::{A, B}};",
        "use crate::Reexported;",
        "fn f() { crate::high::g() }",
    ] {
        assert_eq!(planted("low", source), ["low imports upward from high"], "{source}");
    }
    for source in
        ["use crate::low::Thing;", "use crate::{low::{A, B}, beside};", "", "use crate::{\n    low,\n    beside,\n};"]
    {
        assert_eq!(planted("high", source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn planted_cycle_and_unknown_module_are_found() {
    assert_eq!(planted("low", "use crate::{low::A, beside::B};").len(), 2);
    assert_eq!(planted("low", "use crate::other;"), ["low imports other, which has no layer"]);
    assert_eq!(planted("other", "use crate::low;"), ["other has no layer"]);
}

#[test]
fn comments_and_test_modules_are_not_imports() {
    let source =
        "// use crate::high;\n/// [`crate::high`]\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::high;\n}\n";
    assert_eq!(planted("low", source), Vec::<String>::new());
    assert_eq!(planted("low", "macro_rules! m { () => { $crate::high } }"), Vec::<String>::new());
}

#[test]
fn table_rows_are_read() {
    let page =
        "| layer | modules |\n|---|---|\n| 2 | `src/a/`, `src/b.rs` | text with `src/c.rs` |\n| 1 | `src/a/x.rs` | |\n";
    let expected: Layers = [("a".to_owned(), 2), ("b".to_owned(), 2)].into();
    assert_eq!(layers(page, "src/"), expected);
    assert_eq!(layers(page, "src/a/"), [("x".to_owned(), 1)].into());
}

/// The files that may import a lock of `std` or `parking_lot`: they never wait for it without a limit in a forked child.
const OWN_LOCKS: [&str; 4] = ["fork_mutex.rs", "single_flight.rs", "jwt/key.rs", "users/sqlite"];

#[test]
fn locks_are_those_that_survive_a_fork() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut imports = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let product = source.split("#[cfg(test)]\nmod tests").next().unwrap();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            for line in product.lines().filter(|line| line.trim_start().starts_with("use ")) {
                let is_lock = ["Mutex", "RwLock", "Condvar"].iter().any(|lock| line.contains(lock));
                if is_lock && !line.contains("crate::fork_mutex") {
                    imports += 1;
                    let is_own = name.ends_with("tests.rs") || OWN_LOCKS.iter().any(|own| name.starts_with(own));
                    assert!(is_own, "{name}: {line}");
                }
            }
        }
    }
    assert!(imports >= 3, "{imports}");
}

/// serde_json skips strings that are not UTF-8, and derived code reads an array as an object; `src/json.rs` rejects both.
#[test]
fn bytes_are_read_as_json_by_one_module_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let callers: BTreeSet<String> = sources(&root)
        .into_iter()
        .filter(|(_, source)| {
            ["from_slice(", "from_reader("].iter().any(|call| code(source).contains(&format!("serde_json::{call}")))
        })
        .map(|(module, _)| module)
        .collect();
    assert_eq!(callers, BTreeSet::new());
}
