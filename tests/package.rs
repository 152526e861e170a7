//! What `cargo package` packs: the files that `include` names, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What cargo adds to a package.
const ADDED: [&str; 3] = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml.orig"];

type Names = BTreeSet<String>;

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn names(lines: &str) -> Names {
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The patterns of `include` in Cargo.toml.
fn patterns(manifest: &str) -> Vec<&str> {
    let list = manifest.split_once("\ninclude = [").and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
    list.split('"').skip(1).step_by(2).collect()
}

/// What git knows of the files that `include` names, and the manifest.
fn files_in_git() -> Names {
    let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let mut args =
        ["ls-files", "--cached", "--others", "--exclude-standard", "--", "Cargo.toml"].map(str::to_owned).to_vec();
    for pattern in patterns(&manifest) {
        let anchored = pattern.strip_prefix('/').unwrap_or_else(|| panic!("matches in every folder: {pattern}"));
        args.push(format!(":(glob){anchored}"));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut files = names(&run("git", &args));
    files.retain(|file| Path::new(ROOT).join(file).is_file());
    files
}

fn cargo_package(args: &[&str]) -> String {
    run(env!("CARGO"), &[&["package", "--package", "clerk-auth", "--allow-dirty", "--offline"], args].concat())
}

/// Files of a source tree without git are packed as well, but there is nothing to compare them with.
fn is_git_checkout() -> bool {
    Path::new(ROOT).join(".git").exists() || std::env::var_os("CI").is_some()
}

#[test]
fn package_list_equals_files_in_git() {
    if !is_git_checkout() {
        return;
    }
    let mut listed = names(&cargo_package(&["--list"]));
    ADDED.iter().for_each(|added| assert!(listed.remove(*added) || *added == ".cargo_vcs_info.json", "{added}"));
    assert_eq!(listed, files_in_git());
    for needed in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "build.rs", "include/clerk_auth.h", "examples/axum.rs"]
    {
        assert!(listed.contains(needed), "{needed}");
    }
    for file in &listed {
        let folder = file.split_once('/').map_or("", |(folder, _)| folder);
        assert!(["", "src", "include", "examples"].contains(&folder), "{file}");
    }
}

#[test]
fn packed_archive_holds_the_listed_files() {
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/package");
    let listed = names(&cargo_package(&["--list"]));
    cargo_package(&["--no-verify", "--target-dir", target]);
    let prefix = concat!("clerk-auth-", env!("CARGO_PKG_VERSION"));
    let archive = format!("{target}/package/{prefix}.crate");
    let packed: Names = names(&run("tar", &["-tzf", &archive]))
        .iter()
        .filter_map(|file| file.strip_prefix(prefix)?.strip_prefix('/').map(str::to_owned))
        .collect();
    assert_eq!(packed, listed);
    // Path dependencies would not be found by users.
    let manifest = run("tar", &["-xzOf", &archive, &format!("{prefix}/Cargo.toml")]);
    assert!(
        manifest.contains("name = \"clerk-auth\"")
            && !manifest.contains("clerk-sim")
            && !manifest.contains("path = \"tests")
    );
    std::fs::remove_dir_all(target).unwrap();
}
