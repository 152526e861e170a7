//! Arranges what cbindgen extracts from the sources by the template `include/clerk_auth.h.in`.

use std::collections::BTreeMap;

use super::root;

const GENERATED: &str = "Generated from src/ffi and include/clerk_auth.h.in by `make header`; do not edit.";
const WIDTH: usize = 118;

/// The header as it should be.
pub fn header() -> String {
    arrange(&template(), &items(&extracted()))
}

pub fn template() -> String {
    std::fs::read_to_string(root().join("include/clerk_auth.h.in")).unwrap()
}

fn extracted() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(root()).with_config(config).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

/// cbindgen's items by their C names, each with its doc comment.
pub fn items(extracted: &str) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    for block in extracted.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let item = tidy(&tidy_enum(block));
        let name = name_of(&item).unwrap_or_else(|| panic!("no name in\n{item}"));
        assert!(items.insert(name.clone(), item).is_none(), "twice: {name}");
    }
    items
}

/// Replaces every `@item NAME` line. Every item must be placed once.
pub fn arrange(template: &str, items: &BTreeMap<String, String>) -> String {
    let mut left: BTreeMap<&str, &str> = items.iter().map(|(name, item)| (name.as_str(), item.as_str())).collect();
    let mut header = String::new();
    for line in template.lines() {
        match line.strip_prefix("@item ") {
            None => header += &line.replace("@generated@", GENERATED),
            Some(name) => {
                let item = left.remove(name);
                header += item.unwrap_or_else(|| panic!("{name} is in two sections, or cbindgen does not extract it"));
                // One empty line between items; the template sets those between groups.
                header += if header.ends_with("\n\n") { "" } else { "\n" };
            }
        }
        header.push('\n');
    }
    assert!(left.is_empty(), "in no section of include/clerk_auth.h.in: {:?}", left.keys());
    while header.contains("\n\n\n") {
        header = header.replace("\n\n\n", "\n\n");
    }
    banners(&header)
}

/// `Section - X` comments become banners of full width.
fn banners(header: &str) -> String {
    let rule = "*".repeat(WIDTH);
    let mut out = String::new();
    let mut lines = header.lines().peekable();
    let mut in_banner = false;
    while let Some(line) = lines.next() {
        let opens = line == "/*" && lines.peek().is_some_and(|next| next.starts_with(" * Section - "));
        in_banner |= opens;
        match line {
            "/*" if opens => out += &format!("/{rule}\n"),
            " */" if in_banner => {
                out += &format!(" {rule}/\n");
                in_banner = false;
            }
            other => out += &format!("{other}\n"),
        }
    }
    out
}

fn name_of(item: &str) -> Option<String> {
    let code: Vec<&str> = item.lines().filter(|line| !line.trim_start().starts_with(['/', '*'])).collect();
    let first = code.iter().find(|line| **line != "CLERK_NODISCARD")?;
    let name = if let Some(define) = first.strip_prefix("#define ") {
        define.split(' ').next()?
    } else if let Some((_, pointer)) = first.split_once("(*") {
        pointer.split(')').next()?
    } else if first.starts_with("typedef ") {
        code.last()?.trim_end_matches(';').rsplit([' ', '}']).next()?
    } else {
        first.split('(').next()?.rsplit([' ', '*']).next()?
    };
    Some(name.to_owned())
}

/// cbindgen's enumeration, which is an `int32_t` in older C, as one with a name for `switch` and debuggers.
fn tidy_enum(block: &str) -> String {
    let Some(start) = block.find("enum clerk_").filter(|start| *start == 0 || block[..*start].ends_with('\n')) else {
        return block.to_owned();
    };
    let (docs, code) = block.split_at(start);
    let name = code["enum ".len()..].split_whitespace().next().unwrap();
    let (_, rest) = code.split_once(" {\n").expect("cbindgen writes enumerations differently");
    let (body, _) = rest.split_once("\n};").expect("cbindgen writes enumerations differently");
    format!("{docs}typedef enum {name} CLERK_INT32_ENUM {{\n{body}\n}} {name};")
}

/// Writes comments of one line in one line, and links of rustdoc as plain names.
fn tidy(item: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let lines: Vec<&str> = item.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let indent = &lines[at][..lines[at].len() - lines[at].trim_start().len()];
        if lines[at].trim() == "/**"
            && let Some(end) = lines[at..].iter().position(|line| line.trim() == "*/")
        {
            let mut body: Vec<&str> = lines[at + 1..at + end].iter().map(|line| line.trim_end()).collect();
            // Examples in Rust, of types that are in both APIs.
            if let Some(examples) = body.iter().position(|line| line.trim() == "* # Examples") {
                body.truncate(examples);
            }
            // What is left of an annotation for cbindgen.
            while body.last().is_some_and(|line| line.trim() == "*") {
                body.pop();
            }
            let single = format!("{indent}/** {} */", body[0].trim().trim_start_matches("* "));
            if body.len() == 1 && single.chars().count() <= WIDTH + 2 {
                out.push(single);
            } else {
                out.push(format!("{indent}/**"));
                out.extend(body.into_iter().map(str::to_owned));
                out.push(format!("{indent} */"));
            }
            at += end + 1;
        } else {
            out.push(lines[at].to_owned());
            at += 1;
        }
    }
    let mut text = out.join("\n");
    for (rust, c) in RENAMED {
        text = text.replace(&format!("[`{rust}`]"), &format!("`{c}`"));
    }
    text
}

/// Types that modules other than src/ffi link to in their docs.
const RENAMED: [(&str, &str); 10] = [
    ("Reason", "clerk_reason"),
    ("Category", "clerk_category"),
    ("Source", "clerk_source"),
    ("Level", "clerk_log_level"),
    ("TokenKind", "clerk_token_kind"),
    ("Attribute", "clerk_attribute"),
    ("HandshakeSource", "clerk_handshake_source"),
    ("Endpoint", "clerk_endpoint"),
    ("CallStatus", "clerk_call_status"),
    ("SharedCacheState", "clerk_shared_cache_state"),
];
