//! Reads tokens and bodies, bounded.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::output::Failure;

/// More than any token or delivery that the library reads.
const MAX_INPUT: u64 = 2 * 1024 * 1024;

/// Reads at most one byte more than the limit.
fn read_start(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    Ok(bytes)
}

fn read(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let bytes = read_start(from, name)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::usage(format!("{name}: longer than 2 MiB")));
    }
    Ok(bytes)
}

/// Returns a token without what people copy with it: `Authorization:`, `Bearer`, white space at the ends. Of a longer input the
/// start is enough: it is rejected as too long.
pub fn token(argument: &OsStr) -> Result<Vec<u8>, Failure> {
    let is_input = argument == "-";
    let bytes = if is_input { read_start(std::io::stdin(), "standard input")? } else { argument.as_bytes().to_vec() };
    let mut token = bytes.trim_ascii();
    for prefix in ["authorization:", "bearer "] {
        if let Some((start, rest)) = token.split_at_checked(prefix.len())
            && start.eq_ignore_ascii_case(prefix.as_bytes())
        {
            token = rest.trim_ascii();
        }
    }
    Ok(token.to_vec())
}

/// Returns the bytes of a file, unchanged.
pub fn body(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        return read(std::io::stdin(), "standard input");
    }
    file(path)
}

/// Returns the bytes of a file.
pub fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    read(std::fs::File::open(path).map_err(|error| Failure::usage(format!("{name}: {error}")))?, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_found_in_what_is_copied_with_it() {
        for copied in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "authorization: bearer  a.b.c\r\n"] {
            assert_eq!(token(OsStr::new(copied)).unwrap_or_default(), b"a.b.c", "{copied}");
        }
        assert_eq!(token(OsStr::new("Bear")).unwrap_or_default(), b"Bear");
    }
}
