//! Which organization a path belongs to. Patterns have the syntax of path-to-regexp 6: `:name` matches a part of a segment,
//! `(.*)` for anything, and a slash at the end is optional. Letters match in either case.

/// Longer paths belong to no organization.
const MAX_PATH_LEN: usize = 1024;
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
            let parsed = patterns.iter().map(|pattern| {
                parse(pattern).map_err(|why| (setting, format!("`{}`: {why}", pattern.escape_default())))
            });
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
                return Err("a name must follow `:`");
            }
            let anything = after.strip_prefix("(.*)");
            parts.push(match anything {
                Some(_) => Part::Anything(Some(name.to_owned())),
                None => Part::Parameter(name.to_owned()),
            });
            rest = anything.unwrap_or(after);
        } else if c == '(' {
            rest = rest.strip_prefix(".*)").ok_or("the only expression in parentheses is `(.*)`")?;
            parts.push(Part::Anything(None));
        } else if matches!(c, '{' | '}' | ')' | '*' | '+' | '?' | '\\') {
            return Err("only `:name` and `(.*)` are supported");
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
    patterns.iter().find_map(|parts| matches(parts, path))
}

/// Matches a whole path; returns the values of the parameters.
fn matches<'p, 'a>(parts: &'p [Part], path: &'a str) -> Option<Parameters<'p, 'a>> {
    // What is known not to match, by part and position: backtracking takes linear space and quadratic time at most.
    let mut failed = vec![false; (parts.len() + 1) * (path.len() + 1)];
    let mut found = Vec::new();
    matches_from(parts, 0, path, 0, &mut failed, &mut found).then(|| {
        found.reverse();
        found
    })
}

fn matches_from<'p, 'a>(
    parts: &'p [Part],
    index: usize,
    path: &'a str,
    at: usize,
    failed: &mut [bool],
    found: &mut Parameters<'p, 'a>,
) -> bool {
    let Some(part) = parts.get(index) else { return matches!(&path[at..], "" | "/") };
    let key = index * (path.len() + 1) + at;
    if failed[key] {
        return false;
    }
    let rest = &path[at..];
    let mut try_len = |len: usize| matches_from(parts, index + 1, path, at + len, failed, found);
    let matched = match part {
        Part::Literal(literal) => {
            let is_same = rest.get(..literal.len()).is_some_and(|start| start.eq_ignore_ascii_case(literal));
            (is_same && try_len(literal.len())).then_some((None, literal.len()))
        }
        Part::Parameter(name) => {
            let longest = rest.find(['/', '#', '?']).unwrap_or(rest.len());
            (1..=longest).find(|len| try_len(*len)).map(|len| (Some(name), len))
        }
        Part::Anything(name) => (0..=rest.len()).rev().find(|len| try_len(*len)).map(|len| (name.as_ref(), len)),
    };
    match matched {
        Some((name, len)) => found.extend(name.map(|name| (name.as_str(), &rest[..len]))),
        None => failed[key] = true,
    }
    matched.is_some()
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
        let pattern = "/".to_owned() + &"(.*)-".repeat(7) + "x";
        let path = "/".to_owned() + &"a-".repeat(300);
        let started = std::time::Instant::now();
        assert_eq!(Patterns::parse(&[pattern], &[]).unwrap().find(&path), None);
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
