//! Scripts of the reliability campaign, with other programs in the place of those they start.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 5] =
    ["src/cache.rs", "src/jwt/policy.rs", "src/webhooks.rs", "src/request/cookies.rs", "src/users/sync.rs"];

/// A folder with a script, the files it looks at, and a `cargo` of its own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let root = std::env::temp_dir().join(format!("clerk-auth-scripts-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let folder = Folder(root);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mutants.sh");
        folder.write("scripts/mutants.sh", &fs::read_to_string(script).unwrap());
        FILES.iter().for_each(|file| folder.write(file, ""));
        folder.write("bin/cargo-mutants", "#!/bin/sh\n");
        folder
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs the script with a `cargo` that, at its first and second start, reports so many caught, timed out and missed mutants, and
    /// exits with this status. Returns the number of starts and the last line, or nothing if the script fails.
    fn mutants(&self, stages: [([u32; 3], i32); 2]) -> (usize, Option<String>) {
        let mut fake =
            "#!/bin/bash\nout=$PWD/build/mutants/mutants.out\nmkdir -p $out\necho >> $PWD/starts\n".to_owned();
        fake.push_str("case $(wc -l < $PWD/starts) in\n");
        for (number, (counts, status)) in stages.iter().enumerate() {
            fake.push_str(&format!("{})", number + 1));
            for (name, count) in ["caught", "timeout", "missed"].iter().zip(counts) {
                fake.push_str(&format!(" seq {count} > $out/{name}.txt;"));
            }
            fake.push_str(&format!(" exit {status};;\n"));
        }
        self.write("bin/cargo", &format!("{fake}esac\nexit 1\n"));
        let _ = fs::remove_file(self.0.join("starts"));
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash").arg(self.0.join("scripts/mutants.sh")).env("PATH", path).output().unwrap();
        let starts = fs::read_to_string(self.0.join("starts")).map_or(0, |lines| lines.lines().count());
        let printed = String::from_utf8(output.stdout).unwrap();
        let summary = printed.lines().find(|line| line.starts_with("mutants: ")).map(str::to_owned);
        (starts, summary.filter(|_| output.status.success()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn mutants_that_survive_or_time_out_are_tried_with_more_tests() {
    let folder = Folder::new("stages");
    let second = ([3, 0, 1], 2);
    for status in [2, 3] {
        let (starts, summary) = folder.mutants([([90, 6, 4], status), second]);
        assert_eq!((starts, summary.as_deref()), (2, Some("mutants: 99 of 100 caught, missed:")), "{status}");
    }
    assert_eq!(folder.mutants([([96, 4, 0], 3), second]).0, 1);
    // Below the minimum.
    assert_eq!(folder.mutants([([90, 0, 10], 2), ([1, 0, 9], 2)]), (2, None));
}

#[test]
fn mutants_that_cannot_be_tested_are_a_failure() {
    let folder = Folder::new("failures");
    let fine = ([9, 0, 0], 0);
    assert!(folder.mutants([fine, fine]).1.is_some());
    // A wrong option, tests that fail without a mutant, an internal error.
    for status in [1, 4, 70] {
        assert_eq!(folder.mutants([([9, 0, 0], status), fine]), (1, None), "{status}");
        assert_eq!(folder.mutants([([99, 0, 1], 2), ([1, 0, 0], status)]), (2, None), "{status}");
    }
    assert_eq!(folder.mutants([([0, 0, 0], 0), fine]), (1, None), "nothing to change");
    fs::remove_file(folder.0.join(FILES[4])).unwrap();
    assert_eq!(folder.mutants([fine, fine]), (0, None), "a renamed file");
}
