//! Writes `tests/c/error_calls.h`: every function that takes `clerk_error **`, called with valid arguments, and with
//! each invalid value of each argument in turn.

use std::fmt::Write;

use super::Function;

/// A valid value of a type, and invalid ones; names are those of `tests/c/errors.c`.
fn values(kind: &str) -> (&'static str, &'static [&'static str]) {
    match kind {
        "clerk_config *" | "const clerk_config *" => ("config", &["NULL"]),
        "const clerk_client *" => ("client", &["NULL"]),
        "clerk_client **" => ("&made", &["NULL"]),
        "clerk_pending *" => ("begin()", &["NULL"]),
        "clerk_pending **" => ("&pending", &["NULL"]),
        "clerk_result **" => ("&result", &["NULL"]),
        "clerk_explanation **" => ("&explanation", &["NULL"]),
        "clerk_error **" => ("&error", &[]),
        "const clerk_request *" => (
            "&request",
            &["NULL", "&no_size", "&unknown_size", "&unknown_field", "&unknown_flags", "&no_lines", "&odd_line"],
        ),
        "const clerk_header *" => ("lines", &["NULL", "odd_lines"]),
        "clerk_str" => ("string", &["null_string", "huge_string", "not_utf8", "empty", "with_nul"]),
        "size_t" => ("1", &["0", "4097", "SIZE_MAX"]),
        "int64_t" => ("1", &["INT64_MIN", "INT64_MAX"]),
        other => panic!("tests/header/error_calls.rs knows no values of `{other}`"),
    }
}

pub fn generate(functions: &[Function]) -> String {
    let mut out = String::from(
        "/* Generated from include/clerk_auth.h by `make header`; do not edit. */\n\
         static void call_every_function(void) {\n",
    );
    let takes_error = |function: &&Function| function.parameters.iter().any(|(kind, _)| kind == "clerk_error **");
    for function in functions.iter().filter(takes_error) {
        let valid: Vec<&str> = function.parameters.iter().map(|(kind, _)| values(kind).0).collect();
        call(&mut out, &function.name, &valid);
        for (place, (kind, _)) in function.parameters.iter().enumerate() {
            for invalid in values(kind).1 {
                let mut arguments = valid.clone();
                arguments[place] = invalid;
                call(&mut out, &function.name, &arguments);
            }
        }
    }
    out + "}\n"
}

fn call(out: &mut String, name: &str, arguments: &[&str]) {
    writeln!(out, "    CALL({name}({}));", arguments.join(", ")).unwrap();
}
