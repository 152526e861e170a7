//! Which organization a path belongs to. Patterns have the syntax of path-to-regexp 6: `:name` matches a part of a segment,
//! `(.*)` for anything, and a slash at the end is optional. Letters match in either case.

/// Longer paths belong to no organization.
pub(super) const MAX_PATH_LEN: usize = 1024;
const MAX_PATTERN_LEN: usize = 256;
/// Bounds the time to match a path.
const MAX_PARTS: usize = 16;

/// What a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The organization with this id.
    OrganizationId(&'a str),
    /// The organization with this slug.
    OrganizationSlug(&'a str),
    /// The personal account.
    PersonalAccount,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// One or more characters of a segment, as few as possible.
    Parameter(String),
    /// Any characters, as many as possible.
    Anything(Option<String>),
}

/// The patterns of the settings.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    organization: Vec<Vec<Part>>,
    personal: Vec<Vec<Part>>,
}

impl Patterns {
    /// Parses the settings.
    ///
    /// # Errors
    ///
    /// The name of the setting and what is wrong.
    pub fn parse(organization: &[String], personal: &[String]) -> Result<Self, (&'static str, String)> {
        let all = |setting: &'static str, patterns: &[String]| {
            let parsed = patterns.iter().enumerate();
            // Not the item itself: it may be a key that belongs to another setting.
            let parsed =
                parsed.map(|(at, pattern)| parse(pattern).map_err(|why| (setting, format!("item {} {why}", at + 1))));
            parsed.collect::<Result<Vec<_>, _>>()
        };
        Ok(Patterns {
            organization: all("organization_patterns", organization)?,
            personal: all("personal_account_patterns", personal)?,
        })
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.organization.is_empty() && self.personal.is_empty()
    }

    /// Returns what a path belongs to.
    pub fn find<'a>(&self, path: &'a str) -> Option<Target<'a>> {
        if path.len() > MAX_PATH_LEN {
            return None;
        }
        if let Some(found) = first_match(&self.organization, path) {
            let value = |name: &str| found.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
            let target = value("id").map(Target::OrganizationId).or(value("slug").map(Target::OrganizationSlug));
            if target.is_some() {
                return target;
            }
        }
        first_match(&self.personal, path).map(|_| Target::PersonalAccount)
    }
}

fn parse(pattern: &str) -> Result<Vec<Part>, &'static str> {
    if !pattern.starts_with('/') {
        return Err("must begin with a slash");
    }
    if pattern.len() > MAX_PATTERN_LEN || !pattern.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be printable ASCII without spaces");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[1..];
        if c == ':' {
            let (name, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
            if name.is_empty() {
                return Err("needs a name after each `:`");
            }
            let anything = after.strip_prefix("(.*)");
            parts.push(match anything {
                Some(_) => Part::Anything(Some(name.to_owned())),
                None => Part::Parameter(name.to_owned()),
            });
            rest = anything.unwrap_or(after);
        } else if c == '(' {
            rest = rest.strip_prefix(".*)").ok_or("has an expression in parentheses other than `(.*)`")?;
            parts.push(Part::Anything(None));
        } else if matches!(c, '{' | '}' | ')' | '*' | '+' | '?' | '\\') {
            return Err("has a special character outside of `:name` and `(.*)`");
        } else {
            match parts.last_mut() {
                Some(Part::Literal(literal)) => literal.push(c.to_ascii_lowercase()),
                _ => parts.push(Part::Literal(c.to_ascii_lowercase().into())),
            }
        }
    }
    match parts.len() <= MAX_PARTS {
        true => Ok(parts),
        false => Err("has too many parts"),
    }
}

type Parameters<'p, 'a> = Vec<(&'p str, &'a str)>;

fn first_match<'p, 'a>(patterns: &'p [Vec<Part>], path: &'a str) -> Option<Parameters<'p, 'a>> {
    let mut buffer = Vec::new();
    patterns.iter().find_map(|parts| matches(parts, path, &mut buffer))
}

/// Matches a whole path; returns the values of the parameters. `rest_matches` is a buffer.
fn matches<'p, 'a>(parts: &'p [Part], path: &'a str, rest_matches: &mut Vec<u32>) -> Option<Parameters<'p, 'a>> {
    let bytes = path.as_bytes();
    // Bit `i` at `at`: whether the parts from `i` match the path from `at`. Filled from the end, in linear time.
    rest_matches.clear();
    rest_matches.resize(bytes.len() + 1, 0);
    for at in (0..=bytes.len()).rev() {
        for index in (0..=parts.len()).rev() {
            let is_match = |at: usize, index: usize| rest_matches.get(at).is_some_and(|bits| bits & (1 << index) != 0);
            let is_match = match parts.get(index) {
                None => matches!(bytes[at..], [] | [b'/']),
                Some(Part::Literal(literal)) => {
                    let start = bytes[at..].get(..literal.len());
                    start.is_some_and(|start| start.eq_ignore_ascii_case(literal.as_bytes()))
                        && is_match(at + literal.len(), index + 1)
                }
                Some(Part::Parameter(_)) => {
                    !matches!(bytes.get(at), None | Some(b'/' | b'#' | b'?'))
                        && (is_match(at + 1, index + 1) || is_match(at + 1, index))
                }
                Some(Part::Anything(_)) => is_match(at, index + 1) || is_match(at + 1, index),
            };
            rest_matches[at] |= u32::from(is_match) << index;
        }
    }
    let is_match = |at: usize, index: usize| rest_matches.get(at).is_some_and(|bits| bits & (1 << index) != 0);
    let mut found = Vec::new();
    let mut at = if is_match(0, 0) { 0 } else { return None };
    for (index, part) in parts.iter().enumerate() {
        let (name, end) = match part {
            Part::Literal(literal) => (None, at + literal.len()),
            Part::Parameter(name) => (Some(name), (at + 1..=bytes.len()).find(|end| is_match(*end, index + 1))?),
            Part::Anything(name) => (name.as_ref(), (at..=bytes.len()).rev().find(|end| is_match(*end, index + 1))?),
        };
        found.extend(name.and_then(|name| Some((name.as_str(), path.get(at..end)?))));
        at = end;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(organization: &[&str], personal: &[&str], path: &'a str) -> Option<Target<'a>> {
        let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
        Patterns::parse(&owned(organization), &owned(personal)).unwrap().find(path)
    }

    #[test]
    fn parameter_names_the_organization() {
        let slug = |slug| Some(Target::OrganizationSlug(slug));
        let patterns = &["/orgs/:slug", "/orgs/:slug/(.*)"];
        for (path, target) in [
            ("/orgs/acme", slug("acme")),
            ("/ORGS/Acme/", slug("Acme")),
            ("/orgs/acme/a/b", slug("acme")),
            ("/orgs/a%20b", slug("a%20b")),
            ("/orgs/", None),
            ("/orgs", None),
            ("/x/orgs/acme", None),
        ] {
            assert_eq!(find(patterns, &[], path), target, "{path}");
        }
        assert_eq!(find(&["/:slug/:id"], &[], "/a/b"), Some(Target::OrganizationId("b")));
        assert_eq!(find(&["/a-:slug-b"], &[], "/a-x-b-b"), slug("x-b"));
    }

    #[test]
    fn organization_comes_before_the_personal_account() {
        assert_eq!(find(&["/:slug"], &["/me"], "/me"), Some(Target::OrganizationSlug("me")));
        assert_eq!(find(&["/:name"], &["/me", "/me/(.*)"], "/me"), Some(Target::PersonalAccount));
        assert_eq!(find(&[], &["/me/(.*)"], "/me/x"), Some(Target::PersonalAccount));
        assert_eq!(find(&[], &["/me"], "/you"), None);
    }

    #[test]
    fn unsupported_pattern_names_the_setting() {
        for pattern in ["orgs", "/:", "/(\\d+)", "/:slug?", "/{a}", "/a b", "/:slug(", "/a\\b", &"/:a".repeat(9)] {
            let error = Patterns::parse(&[], &[pattern.to_owned()]).unwrap_err();
            assert_eq!(error.0, "personal_account_patterns", "{pattern}");
        }
    }

    #[test]
    fn matching_takes_bounded_time() {
        let patterns = Patterns::parse(&["/".to_owned() + &"(.*)-".repeat(7) + "x"], &[]).unwrap();
        let path = "/".to_owned() + &"a-".repeat(480);
        let started = std::time::Instant::now();
        (0..200).for_each(|_| assert_eq!(patterns.find(&path), None));
        // 0.1 s unoptimized; half a minute with backtracking.
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    }
}
