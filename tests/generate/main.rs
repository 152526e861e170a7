//! One source for each enumeration and each setting: the lists of the README and of the bindings are generated from the Rust
//! sources. `make generate` writes them; the tests fail when one is out of date.

mod cpp;
mod go;
mod node;
mod readme;
mod source;

use std::path::Path;

const NOTE: &str = "Generated from the Rust sources by `make generate`; do not edit.";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with its expected content, or writes it.
fn check(path: &str, content: &str) {
    if std::env::var_os("CLERK_WRITE_GENERATED").is_some() {
        std::fs::write(root().join(path), content).unwrap();
    }
    let committed = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(committed == content, "{path} is out of date; run `make generate` and review the difference");
}

/// Does the same for the lines between two marks.
fn check_region(path: &str, begin: &str, end: &str, content: &str) {
    let file = std::fs::read_to_string(root().join(path)).unwrap();
    let (before, rest) = file.split_once(begin).unwrap_or_else(|| panic!("{path} has no line {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no line {end}"));
    check(path, &format!("{before}{begin}{content}{end}{after}"));
}

/// `clock_skew_ms` → `clockSkewMs`.
fn lower_camel(snake: &str) -> String {
    let mut parts = snake.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |made, part| made + &capitalized(part))
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// Breaks text into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.into());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            *line += space;
            *line += word;
        }
    }
    lines
}

/// A comment of whole lines, each behind `prefix`. Paragraphs stay separate.
fn comment(doc: &[String], prefix: &str) -> String {
    let text = doc.join("\n");
    let width = 116 - prefix.len();
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| wrap(paragraph, width).iter().map(|line| format!("{prefix} {line}\n")).collect())
        .collect();
    paragraphs.join(&format!("{prefix}\n"))
}
