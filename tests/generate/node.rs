//! The lists of the Node binding.

use std::fmt::Write as _;

use clerk_auth::internals::{Kind, SETTINGS, Setting};

use super::cpp::sentence;
use super::source::{Enumeration, enumerations};
use super::{NOTE, check, comment, lower_camel};

fn list<'a>(lists: &'a [Enumeration], name: &str) -> &'a Enumeration {
    lists.iter().find(|list| list.name == name).unwrap()
}

/// The four statuses that an authentication ends with, by their numbers.
fn outcomes(lists: &[Enumeration]) -> Vec<String> {
    let name = |number: i32| match number {
        0 => "signed-in".to_owned(),
        _ => {
            list(lists, "status").values.iter().find(|value| value.number == number).unwrap().snake().replace('_', "-")
        }
    };
    (0..=3).map(name).collect()
}

fn numbers(list: &Enumeration) -> String {
    let line = |value: &super::source::Value| format!("  {}: {},\n", lower_camel(&value.snake()), value.number);
    list.values.iter().map(line).collect()
}

fn quoted(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().map(|name| format!("  '{name}',\n")).collect()
}

#[test]
fn node_enumerations_are_up_to_date() {
    let lists = enumerations();
    let settings: String =
        SETTINGS.iter().map(|setting| format!("  {}: '{}',\n", lower_camel(setting.name), setting.name)).collect();
    let environment: String = SETTINGS
        .iter()
        .filter(|setting| !setting.env.is_empty())
        .map(|setting| format!("  {}: '{}',\n", setting.env, lower_camel(setting.name)))
        .collect();
    let levels = list(&lists, "log_level").values.iter().map(|value| value.snake());
    let made = format!(
        "'use strict';\n// {NOTE}\n\n\
         /** Outcomes, by the numbers of their statuses. */\nconst STATUSES = [\n{}];\n\n\
         /** Levels of log lines, by their numbers less 1. */\nconst LOG_LEVELS = [\n{}];\n\n\
         const ATTRIBUTE = {{\n{}}};\n\nconst CHECK = {{\n{}}};\n\nconst COLUMN = {{\n{}}};\n\n\
         /** Options and the settings they set, in the order of the README. */\nconst SETTINGS = new Map(Object.entries({{\n{settings}}}));\n\n\
         /** Environment variables and the options they set. */\nconst ENVIRONMENT = {{\n{environment}}};\n\n\
         module.exports = {{ STATUSES, LOG_LEVELS, ATTRIBUTE, CHECK, COLUMN, SETTINGS, ENVIRONMENT }};\n",
        quoted(outcomes(&lists)),
        quoted(levels),
        numbers(list(&lists, "attribute")),
        numbers(list(&lists, "check")),
        numbers(list(&lists, "column")),
    );
    check("bindings/node/lib/enums.js", &made);
}

/// `export type Reason =`, with a comment on each value.
fn union(name: &str, values: impl IntoIterator<Item = (String, Vec<String>)>) -> String {
    let mut made = format!("export type {name} =");
    for (value, doc) in values {
        if !doc.is_empty() {
            write!(made, "\n{}", comment(&doc, "  //").trim_end()).unwrap();
        }
        write!(made, "\n  | '{value}'").unwrap();
    }
    made + ";\n\n"
}

fn option(setting: &Setting) -> String {
    let names = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" | ");
    let kind = match setting.kind {
        Kind::String | Kind::Secret => "string".into(),
        Kind::List | Kind::SecretList => "string | string[]".into(),
        Kind::Int { .. } => "number | string".into(),
        Kind::Bool => "boolean".into(),
        Kind::Enum(list) => names(list),
        Kind::EnumSet(_) => "TokenType | 'any' | (TokenType | 'any')[]".into(),
    };
    let default = match setting.name {
        _ if setting.default.is_empty() => String::new(),
        _ => format!(" Default: {}.", setting.default),
    };
    let doc = comment(&[sentence(setting.doc) + &default], "   *");
    format!("  /**\n{doc}   */\n  {}?: {kind};\n", lower_camel(setting.name))
}

#[test]
fn node_types_are_up_to_date() {
    let lists = enumerations();
    let values = |name: &str, spell: fn(String) -> String| -> Vec<(String, Vec<String>)> {
        list(&lists, name).values.iter().map(|value| (spell(value.snake()), value.doc.clone())).collect()
    };
    let mut made = format!("// {NOTE}\n\n");
    made += &union("Status", outcomes(&lists).into_iter().map(|name| (name, Vec::new())));
    made += &union("Reason", values("reason", |name| name.replace('_', "-")));
    made += &union("Category", values("category", |name| name));
    made += &union("Source", values("source", |name| name));
    made += &union("HandshakeSource", values("handshake_source", |name| name));
    made += &union("Endpoint", values("endpoint", |name| name));
    made += &union("CallStatus", values("call_status", |name| name));
    made += &union("SharedCacheState", values("shared_cache_state", |name| name));
    made += &union("TokenType", values("token_kind", |name| name));
    made += &union("LogLevel", values("log_level", |name| name));
    made += &union("EventName", values("event_kind", |name| lower_camel(&name)));
    let options: String = SETTINGS.iter().map(option).collect();
    made += &format!(
        "/** The settings, as the README of the library describes them. */\nexport interface Settings {{\n{options}}}\n"
    );
    check("bindings/node/lib/enums.d.ts", &made);
}
