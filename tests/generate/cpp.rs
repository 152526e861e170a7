//! The lists of the C++ binding.

use std::fmt::Write as _;

use clerk_auth::internals::{Kind, SETTINGS, Setting};

use super::source::{Enumeration, enumerations};
use super::{NOTE, capitalized, check, check_region, comment, lower_camel};

fn class(snake: &str) -> String {
    capitalized(&lower_camel(snake))
}

/// `enum class Reason : int32_t { … };`
fn enumeration(list: &Enumeration) -> String {
    let mut made = format!("{}enum class {} : int32_t {{\n", comment(&list.doc, "//"), class(list.name));
    for value in &list.values {
        writeln!(made, "{}    {} = {},", comment(&value.doc, "    //"), value.snake(), list.c_name(value)).unwrap();
    }
    made + "};\n\n"
}

/// The setting's own enumeration: `UserMode`, with its names.
fn setting_enumeration(setting: &Setting, names: &[&str]) -> String {
    let class = class(setting.name);
    let cases: String = names[..names.len() - 1]
        .iter()
        .map(|name| format!("    case {class}::{name}:\n        return \"{name}\";\n"))
        .collect();
    let last = names.last().unwrap();
    format!(
        "{}enum class {class} {{ {} }};\n\n\
         constexpr std::string_view name({class} value) noexcept {{\n    switch (value) {{\n{cases}    case {class}::{last}:\n        break;\n    }}\n    return \"{last}\";\n}}\n\n",
        comment(&[format!("The values of the setting `{}`.", setting.name)], "//"),
        names.join(", "),
    )
}

const NAMES: &str = "\
namespace detail {

template <class Enum>
constexpr int32_t number(Enum value) noexcept {
    return static_cast<int32_t>(value);
}

} // namespace detail

// Returns the name that Clerk, the log and the other languages use, such as \"token-expired\". Static; \"\" for an unknown
// number.
inline std::string_view name(Reason reason) noexcept { return clerk_reason_name(detail::number(reason)); }
inline std::string_view name(Category category) noexcept { return clerk_category_name(detail::number(category)); }
inline std::string_view name(Source source) noexcept { return clerk_source_name(detail::number(source)); }
inline std::string_view name(HandshakeSource source) noexcept {
    return clerk_handshake_source_name(detail::number(source));
}
inline std::string_view name(TokenKind kind) noexcept { return clerk_token_kind_name(detail::number(kind)); }
inline std::string_view name(EventKind kind) noexcept { return clerk_event_kind_name(detail::number(kind)); }
inline std::string_view name(Endpoint endpoint) noexcept { return clerk_endpoint_name(detail::number(endpoint)); }
inline std::string_view name(CallStatus status) noexcept { return clerk_call_status_name(detail::number(status)); }
inline std::string_view name(SharedCacheState state) noexcept {
    return clerk_shared_cache_state_name(detail::number(state));
}

// Returns the C name, such as \"CLERK_E_CONFIG\".
inline std::string_view name(Status status) noexcept { return clerk_status_name(detail::number(status)); }

constexpr std::string_view name(Outcome outcome) noexcept {
    switch (outcome) {
    case Outcome::signed_in:
        return \"signed-in\";
    case Outcome::signed_out:
        return \"signed-out\";
    case Outcome::no_credentials:
        return \"no-credentials\";
    case Outcome::unavailable:
        break;
    }
    return \"unavailable\";
}

inline Category category(Reason reason) noexcept {
    return static_cast<Category>(clerk_reason_category(detail::number(reason)));
}

";

#[test]
fn cpp_enumerations_are_up_to_date() {
    let lists = enumerations();
    let mut made = format!(
        "// Scoped enumerations with the names and numbers of the C header.\n//\n// {NOTE}\n\
         #ifndef CLERK_AUTH_ENUMS_HPP\n#define CLERK_AUTH_ENUMS_HPP\n\n#include \"base.hpp\"\n\nCLERK_AUTH_NAMESPACE_BEGIN\n\n\
         // The outcome of an authentication.\nenum class Outcome : int32_t {{\n    signed_in = CLERK_OK,\n"
    );
    // An outcome is a status that an authentication ends with.
    for value in lists[0].values.iter().filter(|value| (1..=3).contains(&value.number)) {
        writeln!(made, "    {} = {},", value.snake(), lists[0].c_name(value)).unwrap();
    }
    made += "};\n\n";
    made.extend(lists.iter().map(enumeration));
    for setting in SETTINGS {
        if let Kind::Enum(names) = setting.kind {
            made += &setting_enumeration(setting, names);
        }
    }
    check("bindings/cpp/include/clerk_auth/enums.hpp", &(made + NAMES + "CLERK_AUTH_NAMESPACE_END\n\n#endif\n"));
}

fn setter(setting: &Setting) -> String {
    let name = setting.name;
    let (parameter, call) = match setting.kind {
        Kind::String | Kind::Secret => ("std::string_view value".into(), "set(\"{}\", value)"),
        Kind::List | Kind::SecretList => ("const List &items".into(), "list(\"{}\", items)"),
        Kind::Int { .. } if name.ends_with("_ms") => ("Milliseconds value".into(), "set_int(\"{}\", value.count())"),
        Kind::Int { .. } if name.ends_with("_s") && !name.ends_with("_per_s") => {
            ("std::chrono::seconds value".into(), "set_int(\"{}\", value.count())")
        }
        Kind::Int { .. } => ("int64_t value".into(), "set_int(\"{}\", value)"),
        Kind::Bool => ("bool value".into(), "set_int(\"{}\", value ? 1 : 0)"),
        Kind::Enum(_) => (format!("{} value", class(name)), "set(\"{}\", name(value))"),
        Kind::EnumSet(_) => ("std::initializer_list<TokenKind> kinds".into(), "token_kinds(\"{}\", kinds)"),
    };
    let doc = comment(&[sentence(setting.doc)], "    //");
    format!("{doc}    Config &{name}({parameter}) {{ return {}; }}\n", call.replace("{}", name))
}

/// A description as a sentence.
pub fn sentence(doc: &str) -> String {
    format!("{}.", capitalized(doc))
}

#[test]
fn cpp_setters_are_up_to_date() {
    let setters: String = SETTINGS.iter().map(setter).collect();
    check_region(
        "bindings/cpp/include/clerk_auth/config.hpp",
        "    // Settings. Generated from src/config/settings.rs by `make generate`; do not edit.\n",
        "    // End of the generated settings.\n",
        &format!("\n{setters}\n"),
    );
}
