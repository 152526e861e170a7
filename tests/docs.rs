//! The documents say what the code says.

use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_oldest_compiler_is_named_once_and_the_same() {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find(|l| l.starts_with("rust-version")).unwrap();
    let version = line.split('"').nth(1).unwrap();
    assert!(read("README.md").contains(&format!("Rust {version} or newer")));
}

#[test]
fn the_readmes_example_is_a_file_that_is_built_and_run() {
    let readme = read("README.md");
    let code = readme.split("```c\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(code, read("examples/who.c"), "examples/who.c is the README's first example");
}

/// All names of test functions, wherever they are.
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
fn every_test_that_a_promise_names_is_there() {
    let mut names = Vec::new();
    for folder in ["src", "tests"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
    }
    let page = read("docs/security.md");
    let promised: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("_"))
        .flat_map(|line| line.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .filter(|name| !name.contains('/'))
        .collect();
    assert!(promised.len() > 30);
    for name in promised {
        assert!(names.iter().any(|n| n == name), "docs/security.md names a test that is not there: {name}");
    }
}

/// Texts of all sources below a folder, with their paths.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap())),
            }
        }
    }
    found
}

#[test]
fn a14_unsafe_code_lives_in_ffi_alone() {
    assert!(read("src/lib.rs").contains("#![deny(unsafe_code)]"));
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
