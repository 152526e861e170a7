//! Organization permissions of a version 2 session token: features × permissions, with one decimal bit mask per feature.
//!
//! The n-th mask in `fpm` belongs to the n-th feature in `fea`, as Clerk documents it. A feature with a malformed scope, name
//! or mask grants nothing.

/// Returns `org:<feature>:<permission>` for each bit that is set.
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

/// Returns the name of a feature in the scope of organizations: `o`, `ou` or `uo`.
fn organization_feature(feature: &str) -> Option<&str> {
    let (scope, name) = feature.split_once(':')?;
    (matches!(scope, "o" | "ou" | "uo") && !name.is_empty()).then_some(name)
}

/// Returns whether a user feature precedes an organization feature and there is one mask per organization feature: Clerk's
/// SDK assigns these masks differently from the documentation, so they grant nothing.
fn is_ambiguous(features: &[&str], masks: usize) -> bool {
    let organization = features.iter().filter(|f| organization_feature(f).is_some()).count();
    let shifted = features.iter().take(organization).any(|f| organization_feature(f).is_none());
    shifted && masks == organization && organization < features.len()
}

/// Returns the `count` lowest bits of a decimal number of any length, lowest first; all `false` if it is malformed.
fn bits(decimal: &str, count: usize) -> impl Iterator<Item = bool> + use<> {
    let is_number = !decimal.is_empty() && decimal.len() <= 4096 && decimal.bytes().all(|b| b.is_ascii_digit());
    let mut digits: Vec<u8> = if is_number { decimal.bytes().map(|b| b - b'0').collect() } else { Vec::new() };
    std::iter::repeat_with(move || {
        // Long division by two: the remainder is the next bit.
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
    fn documented_examples_decode_as_documented() {
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
    fn mask_beyond_64_bits_decodes_and_malformed_one_grants_nothing() {
        let names: Vec<String> = (0..54).map(|i| format!("p{i}")).collect();
        let permissions = names.join(",");
        assert_eq!(decode("o:f", &permissions, "9007199254740993"), ["org:f:p0", "org:f:p53"]);
        for none in ["18014398509481984", "0", "1invalid", "-1", "1.5", "+3", "1_1", "", "٣"] {
            assert_eq!(decode("o:f", &permissions, none), [""; 0], "{none}");
        }
    }

    #[test]
    fn malformed_feature_grants_nothing() {
        for feature in ["u:f", "foo:f", "f", "o:", ":f", ""] {
            assert_eq!(decode(feature, "read", "1"), [""; 0], "{feature}");
        }
        assert_eq!(decode(" o:a , uo:b ", " read , write ", " 1 , 2 "), ["org:a:read", "org:b:write"]);
    }

    #[test]
    fn ambiguous_mask_layout_grants_nothing() {
        assert_eq!(decode("u:x,o:a", "read", "1"), [""; 0]);
        assert_eq!(decode("o:a,u:x", "read", "1"), ["org:a:read"]);
        assert_eq!(decode("u:x,o:a", "read", "0,1"), ["org:a:read"]);
    }
}
