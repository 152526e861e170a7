//! The header, its macros and its examples, compiled as C and C++ in every dialect.

use std::path::PathBuf;
use std::process::Command;

use super::{committed, functions, root};

// Not -fsyntax-only: it does not warn of ignored values.
const WARNINGS: [&str; 7] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wmissing-field-initializers", "-c"];
const C: [&str; 3] = ["c99", "c11", "c2x"];
const CPP: [&str; 4] = ["c++11", "c++17", "c++20", "c++2b"];

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("clerk-header-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Compiles the source in the dialect; returns the compiler's output if there is an error or a warning.
    fn compile(&self, dialect: &str, source: &str, more: &[&str]) -> Result<(), String> {
        let is_cpp = dialect.starts_with("c++");
        let file = self.0.join(if is_cpp { "use.cpp" } else { "use.c" });
        std::fs::write(&file, source).unwrap();
        let mut command = Command::new(if is_cpp { "c++" } else { "cc" });
        command.arg(format!("-std={dialect}")).args(WARNINGS).args(more);
        command.args(is_cpp.then_some("-Wold-style-cast")).args(["-o", "/dev/null"]);
        let output = command.arg("-I").arg(root().join("include")).arg(&file).output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn compiles_everywhere(&self, source: &str, more: &[&str]) {
        for dialect in C.iter().chain(&CPP) {
            if let Err(said) = self.compile(dialect, source, more) {
                panic!("{dialect}:\n{said}\n{source}");
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TWICE: &str = "#include \"clerk_auth.h\"\n#include \"clerk_auth.h\"\n";

#[test]
fn macros_compile_without_warnings_in_every_dialect() {
    let uses = "
int main(void) {
    clerk_request request = CLERK_REQUEST_INIT;
    const clerk_stats stats = CLERK_STATS_INIT;
    clerk_str string = CLERK_STR(\"x\");
    clerk_str empty = CLERK_STR(\"\");
    clerk_str joined = CLERK_STR(\"a\" \"b\");
    request.method = CLERK_STR(\"GET\");
    return request.flags == stats.reserved && string.len + empty.len == 1 && joined.len == 2 ? 0 : 1;
}
";
    Folder::new("macros").compiles_everywhere(&format!("{TWICE}{uses}"), &[]);
}

#[test]
fn clerk_str_of_no_literal_does_not_compile() {
    let folder = Folder::new("literal");
    let program = |argument: &str| {
        format!(
            "{TWICE}
extern const char *pointer;
extern char array[4];
extern clerk_str string;
const char *pointer;
char array[4];
clerk_str string;
int main(void) {{ string = CLERK_STR({argument}); return 0; }}
"
        )
    };
    for dialect in C.iter().chain(&CPP) {
        assert_eq!(folder.compile(dialect, &program("\"literal\""), &[]), Ok(()), "{dialect}");
        for argument in ["pointer", "array", "0", "NULL", "string.data", "(\"literal\")", "L\"wide\""] {
            assert!(folder.compile(dialect, &program(argument), &[]).is_err(), "{dialect}: CLERK_STR({argument})");
        }
    }
}

#[test]
fn ignored_statuses_are_warned_about_in_every_dialect() {
    let folder = Folder::new("ignored");
    for function in functions(&committed()).iter().filter(|function| function.returns == "int32_t") {
        let values = function.parameters.iter().map(|(kind, _)| match kind.as_str() {
            "clerk_str" => "clerk_str_of(NULL)",
            kind if kind.ends_with('*') || kind.ends_with("_fn") => "NULL",
            _ => "0",
        });
        let call = format!("{}({});", function.name, values.collect::<Vec<_>>().join(", "));
        for dialect in ["c99", "c++17"] {
            let said = folder.compile(dialect, &format!("{TWICE}int main(void) {{ {call} return 0; }}\n"), &[]);
            assert_eq!(said.is_err(), function.is_nodiscard, "{dialect}: {call} {said:?}");
        }
    }
}

#[test]
fn enumerations_have_a_type_in_every_dialect() {
    let uses = "
static const char *respond(clerk_status status) {
    switch (status) {
    case CLERK_OK: return \"200\";
    case CLERK_SIGNED_OUT: return \"401\";
    case CLERK_E_PANIC: return \"500\";
    default: return \"503\";
    }
}
int main(void) {
    int32_t status = clerk_client_warm_up(NULL, NULL);
    int32_t either = status == CLERK_OK ? status : CLERK_E_STATE;
    return respond(CLERK_OK)[0] == '2' && either != CLERK_STORE_CONFLICT && sizeof(clerk_reason) == 4 ? 0 : 1;
}
";
    Folder::new("enums").compiles_everywhere(&format!("{TWICE}{uses}"), &[]);
}

/// The examples of the sections: code that is indented by four spaces in a banner.
fn examples(header: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut in_banner = false;
    for line in header.lines() {
        if let Some(section) = line.strip_prefix(" * Section - ") {
            in_banner = true;
            examples.push((section.to_owned(), String::new()));
        } else if line.starts_with(" ***") {
            in_banner = false;
        } else if in_banner && let Some(code) = line.strip_prefix(" *     ") {
            let (_, example) = examples.last_mut().unwrap();
            *example += &format!("{code}\n");
        } else if in_banner {
            let (_, example) = examples.last_mut().unwrap();
            example.push('\n');
        }
    }
    examples
}

#[test]
fn examples_compile_in_every_dialect() {
    let folder = Folder::new("examples");
    let context = "
int32_t execute(void *userdata, const clerk_store_request *request, clerk_store_response *response);
void example(clerk_config *config, clerk_client *client, const clerk_header *lines, size_t line_count, clerk_str body, clerk_str token);
void example(clerk_config *config, clerk_client *client, const clerk_header *lines, size_t line_count, clerk_str body, clerk_str token)
{
    const char *authorization = NULL;
    clerk_request request = CLERK_REQUEST_INIT;
    clerk_result *result = NULL;
    (void)config, (void)client, (void)lines, (void)line_count, (void)body, (void)token, (void)authorization;
    (void)request, (void)result;
    {
";
    let found = examples(&committed());
    assert_eq!(found.len(), 15);
    for (section, example) in found {
        assert!(example.lines().filter(|line| !line.is_empty()).count() >= 2, "{section} has no example");
        let begins_with_function = example.trim_start().starts_with("static ");
        let source = match begins_with_function {
            true => format!("{example}\n"),
            false => format!("{context}{example}    }}\n}}\n"),
        };
        let source = format!("#include <stdio.h>\n#include <stdlib.h>\n{TWICE}{source}");
        // Each example is compiled separately: it may declare what the context declares, and leave a value unused.
        let relaxed = ["-Wno-unused-variable", "-Wno-unused-but-set-variable", "-Wno-unused-function"];
        for dialect in C.iter().chain(&CPP) {
            if let Err(said) = folder.compile(dialect, &source, &relaxed) {
                panic!("{section} in {dialect}:\n{said}");
            }
        }
    }
}
