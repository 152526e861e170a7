//! Organization permissions of a version 2 token: features × permissions × one decimal bit mask per feature.
//!
//! A mask's place in `fpm` is its feature's place in `fea`, as Clerk documents it. A feature whose scope, name or mask is
//! odd grants nothing.

/// `org:<feature>:<permission>` for each bit that is set.
pub fn decode(features: &str, permissions: &str, masks: &str) -> Vec<String> {
    let permissions: Vec<&str> = permissions.split(',').map(str::trim).collect();
    let features: Vec<&str> = features.split(',').map(str::trim).collect();
    let masks: Vec<&str> = masks.split(',').map(str::trim).collect();
    if is_ambiguous(&features, masks.len()) {
        return Vec::new();
    }
    let mut granted = Vec::new();
    for (feature, mask) in features.iter().zip(&masks) {
        let Some(name) = organization_feature(feature) else { continue };
        for (bit, permission) in bits(mask, permissions.len()).zip(&permissions) {
            if bit && !permission.is_empty() {
                granted.push(format!("org:{name}:{permission}"));
            }
        }
    }
    granted
}

/// The name of a feature that organizations can have: scope `o`, `ou` or `uo`.
fn organization_feature(feature: &str) -> Option<&str> {
    let (scope, name) = feature.split_once(':')?;
    (matches!(scope, "o" | "ou" | "uo") && !name.is_empty()).then_some(name)
}

/// One mask for each organization feature and a user's feature in front: Clerk's own SDK counts these masks otherwise
/// than the documentation, so nobody can say what they mean.
fn is_ambiguous(features: &[&str], masks: usize) -> bool {
    let organization = features.iter().filter(|f| organization_feature(f).is_some()).count();
    let shifted = features.iter().take(organization).any(|f| organization_feature(f).is_none());
    shifted && masks == organization && organization < features.len()
}

/// The `count` lowest bits of a decimal number of any length, lowest first; all false if it is no such number.
fn bits(decimal: &str, count: usize) -> impl Iterator<Item = bool> + use<> {
    let good = !decimal.is_empty() && decimal.len() <= 4096 && decimal.bytes().all(|b| b.is_ascii_digit());
    let mut digits: Vec<u8> = if good { decimal.bytes().map(|b| b - b'0').collect() } else { Vec::new() };
    std::iter::repeat_with(move || {
        // Schoolbook halving: the remainder is the next bit.
        digits.iter_mut().fold(0, |carry, digit| {
            let value = carry * 10 + *digit;
            *digit = value / 2;
            value % 2
        }) == 1
    })
    .take(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clerks_documented_examples() {
        let features = "o:repositories,o:projects";
        assert_eq!(
            decode(features, "read,create,update,delete,revoke", "7,21"),
            [
                "org:repositories:read",
                "org:repositories:create",
                "org:repositories:update",
                "org:projects:read",
                "org:projects:update",
                "org:projects:revoke"
            ]
        );
        assert_eq!(decode("o:a,u:b,o:c", "read,write", "1,3,2"), ["org:a:read", "org:c:write"]);
    }

    #[test]
    fn masks_of_any_length_and_nothing_but_digits() {
        let names: Vec<String> = (0..54).map(|i| format!("p{i}")).collect();
        let permissions = names.join(",");
        assert_eq!(decode("o:f", &permissions, "9007199254740993"), ["org:f:p0", "org:f:p53"]);
        for none in ["18014398509481984", "0", "1invalid", "-1", "1.5", "+3", "1_1", "", "٣"] {
            assert_eq!(decode("o:f", &permissions, none), [""; 0], "{none}");
        }
    }

    #[test]
    fn odd_features_grant_nothing() {
        for feature in ["u:f", "foo:f", "f", "o:", ":f", ""] {
            assert_eq!(decode(feature, "read", "1"), [""; 0], "{feature}");
        }
        assert_eq!(decode(" o:a , uo:b ", " read , write ", " 1 , 2 "), ["org:a:read", "org:b:write"]);
    }

    #[test]
    fn layouts_that_can_be_read_two_ways_grant_nothing() {
        assert_eq!(decode("u:x,o:a", "read", "1"), [""; 0]);
        assert_eq!(decode("o:a,u:x", "read", "1"), ["org:a:read"]);
        assert_eq!(decode("u:x,o:a", "read", "0,1"), ["org:a:read"]);
    }
}
