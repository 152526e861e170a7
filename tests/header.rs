//! The header is what cbindgen makes of the sources, and nothing in it is missing from the library or the list of symbols.

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(root()).with_config(config).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

fn committed() -> String {
    std::fs::read_to_string(root().join("include/clerk_auth.h")).unwrap()
}

/// Names of the functions that a header declares.
fn declared(header: &str) -> Vec<String> {
    let mut names: Vec<String> = header
        .split(['\n'])
        .filter(|line| !line.starts_with("typedef") && !line.trim_start().starts_with(['/', '*', '#']))
        .filter_map(|line| {
            let (before, _) = line.split_once('(')?;
            let name = before.rsplit([' ', '*']).next()?;
            name.starts_with("clerk_").then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn the_committed_header_is_what_the_sources_say() {
    if std::env::var_os("CLERK_WRITE_HEADER").is_some() {
        std::fs::write(root().join("include/clerk_auth.h"), generated()).unwrap();
        std::fs::write(root().join("tests/abi/symbols.txt"), declared(&generated()).join("\n") + "\n").unwrap();
    }
    assert!(
        generated() == committed(),
        "include/clerk_auth.h is out of date; run `make header` and look at the difference"
    );
}

#[test]
fn the_list_of_symbols_is_the_headers() {
    let listed = std::fs::read_to_string(root().join("tests/abi/symbols.txt")).unwrap();
    assert_eq!(declared(&committed()), listed.lines().collect::<Vec<_>>());
}

/// cbindgen passes over functions that a macro makes; the sources are read as text.
#[test]
fn every_exported_function_is_guarded_and_in_the_header() {
    let mut exported = Vec::new();
    for entry in std::fs::read_dir(root().join("src/ffi")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in text.split("#[unsafe(no_mangle)]").skip(1) {
            let function = part.split_once("fn ").unwrap().1;
            exported.push(function.split_once('(').unwrap().0.to_owned());
            let end = function.find("\n}").unwrap();
            let body = &function[..end];
            // Either directly or through a helper of the same file whose own body is guarded.
            let helpers = [
                "guard(",
                "set(reply",
                "change(config",
                "accessor(client",
                "verb(client",
                "finish(client",
                "begun(client",
                "text(result",
            ];
            assert!(helpers.iter().any(|helper| body.contains(helper)), "not guarded: {}", exported.last().unwrap());
        }
        for line in text.lines().filter(|line| line.contains("extern \"C\" fn ") && line.starts_with("pub")) {
            let name = line.split_once("fn ").unwrap().1.split_once('(').unwrap().0;
            assert!(exported.iter().any(|e| e == name), "exported without no_mangle: {name}");
        }
    }
    exported.sort();
    assert_eq!(exported, declared(&committed()));
}

#[test]
fn the_header_compiles_in_every_dialect_and_twice() {
    let folder = std::env::temp_dir().join(format!("clerk-header-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let source = "#include \"clerk_auth.h\"\n#include \"clerk_auth.h\"\nint main(void) {\n  clerk_request r = CLERK_REQUEST_INIT;\n  clerk_stats s = CLERK_STATS_INIT;\n  clerk_str t = CLERK_STR(\"x\");\n  return (int)(r.flags + s.reserved + t.len - 1) + (CLERK_OK == CLERK_REASON_TOKEN_INVALID);\n}\n";
    for (file, compiler, dialects) in [
        ("use.c", "cc", &["-std=c99", "-std=c11", "-std=c2x"][..]),
        ("use.cpp", "c++", &["-std=c++17", "-std=c++20"][..]),
    ] {
        std::fs::write(folder.join(file), source).unwrap();
        for dialect in dialects {
            let output = Command::new(compiler)
                .args([dialect, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
                .arg(root().join("include"))
                .arg(folder.join(file))
                .output()
                .unwrap_or_else(|e| panic!("{compiler}: {e}"));
            assert!(output.status.success(), "{dialect}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn versions_are_the_same_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let header = committed();
    let part = |name: &str| -> u32 {
        let line = header.lines().find(|l| l.starts_with(&format!("#define CLERK_VERSION_{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(format!("{}.{}.{}", part("MAJOR"), part("MINOR"), part("PATCH")), version);
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let top = changelog.lines().find(|l| l.starts_with("## ")).unwrap();
    assert!(top.contains(version), "CHANGELOG.md begins with {top}");
}
