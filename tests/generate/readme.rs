//! The README's tables of settings, one for each group.

use std::fmt::Write as _;

use clerk_auth::internals::{Group, Kind, SETTINGS, Setting};

const BEGIN: &str = "<!-- settings: generated from src/config/settings.rs by `make generate` -->\n";
const END: &str = "<!-- /settings -->";

fn title(group: Group) -> String {
    super::capitalized(group.as_str()).replace('_', " ")
}

fn kind(setting: &Setting) -> String {
    match setting.kind {
        Kind::String => "string".into(),
        Kind::Secret => "secret".into(),
        Kind::List => "list".into(),
        Kind::SecretList => "list of secrets".into(),
        Kind::Int { min, max } => format!("{min} … {max}"),
        Kind::Bool => "true, false".into(),
        Kind::Enum(names) => names.join(", "),
        Kind::EnumSet(names) => format!("one or more of {}", names.join(", ")),
    }
}

#[test]
fn readme_tables_of_settings_are_up_to_date() {
    let mut tables = String::new();
    for group in Group::ALL {
        write!(
            tables,
            "\n### {}\n\n| setting | type | default | environment | |\n|---|---|---|---|---|\n",
            title(*group)
        )
        .unwrap();
        for setting in SETTINGS.iter().filter(|setting| setting.group == *group) {
            let code = |text: &str| if text.is_empty() { "–".into() } else { format!("`{text}`") };
            let (default, env) = (code(setting.default), code(setting.env));
            writeln!(tables, "| `{}` | {} | {default} | {env} | {} |", setting.name, kind(setting), setting.doc)
                .unwrap();
        }
    }
    super::check_region("README.md", BEGIN, END, &format!("{tables}\n"));
}

#[test]
fn readme_example_is_the_file_that_is_built_and_run() {
    let example = std::fs::read_to_string(super::root().join("examples/who.c")).unwrap();
    super::check_region("README.md", "```c\n", "```\n", &example);
}
