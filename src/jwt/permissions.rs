//! Organization permissions of a version 2 session token: features × permissions, with one decimal bit mask per feature.
//!
//! The n-th mask in `fpm` belongs to the n-th feature in `fea`, as Clerk documents it. A feature with a malformed scope, name
//! or mask grants nothing.

use smallvec::SmallVec;

/// The maximum number of digits of a mask, which has one bit per permission.
const MAX_DIGITS: usize = 1024;
/// The maximum number of permissions that a token grants; beyond, it grants none.
const MAX_GRANTED: usize = 1024;

/// Appends `org:<feature>:<permission>` for each bit that is set, separated by commas.
pub fn push(memory: &mut String, features: &str, permissions: &str, masks: &str) {
    if is_ambiguous(features, masks) {
        return;
    }
    let (start, mut granted) = (memory.len(), 0);
    for (feature, mask) in items(features).zip(items(masks)) {
        let Some(name) = organization_feature(feature) else { continue };
        let bits = Bits::of(mask);
        for (bit, permission) in items(permissions).enumerate().take(bits.len()) {
            if bits.get(bit) && !permission.is_empty() {
                if granted == MAX_GRANTED {
                    return memory.truncate(start);
                }
                granted += 1;
                for part in [if granted == 1 { "" } else { "," }, "org:", name, ":", permission] {
                    memory.push_str(part);
                }
            }
        }
    }
}

/// Returns what [`push`] appends, as a list.
#[cfg(any(test, fuzzing))]
pub fn decode(features: &str, permissions: &str, masks: &str) -> Vec<String> {
    let mut memory = String::new();
    push(&mut memory, features, permissions, masks);
    memory.split(',').filter(|permission| !permission.is_empty()).map(str::to_owned).collect()
}

/// Returns the items of a list. By bytes: these lists are short.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let (item, after) = match list.bytes().position(|b| b == b',') {
            Some(comma) => (&list[..comma], Some(&list[comma + 1..])),
            None => (list, None),
        };
        rest = after;
        Some(trim(item))
    })
}

/// Trims white space. Does nothing to most items.
fn trim(item: &str) -> &str {
    let is_plain = |b: Option<&u8>| b.is_none_or(u8::is_ascii_graphic);
    if is_plain(item.as_bytes().first()) && is_plain(item.as_bytes().last()) { item } else { item.trim() }
}

/// Returns the name of a feature in the scope of organizations: `o`, `ou` or `uo`.
fn organization_feature(feature: &str) -> Option<&str> {
    let (scope, name) = feature.split_once(':')?;
    (matches!(scope, "o" | "ou" | "uo") && !name.is_empty()).then_some(name)
}

/// Returns whether a user feature precedes an organization feature and there is one mask per organization feature: Clerk's
/// SDK assigns these masks differently from the documentation, so they grant nothing.
fn is_ambiguous(features: &str, masks: &str) -> bool {
    let (mut count, mut organization, mut first_other) = (0, 0, None);
    for feature in items(features) {
        match organization_feature(feature) {
            Some(_) => organization += 1,
            None => first_other = first_other.or(Some(count)),
        }
        count += 1;
    }
    first_other.is_some_and(|first| first < organization) && items(masks).count() == organization
}

/// The bits of a decimal number, lowest first.
struct Bits(SmallVec<[u64; 4]>);

impl Bits {
    /// Reads a decimal number; a malformed one has no bits.
    fn of(decimal: &str) -> Self {
        /// The digits that fit into a word.
        const STEP: usize = 19;
        let mut words = SmallVec::new();
        if decimal.is_empty() || decimal.len() > MAX_DIGITS || !decimal.bytes().all(|b| b.is_ascii_digit()) {
            return Bits(words);
        }
        // The first chunk takes the digits that do not fill one.
        let (first, rest) = decimal.as_bytes().split_at(decimal.len() % STEP);
        for chunk in [first].into_iter().chain(rest.chunks(STEP)) {
            let mut carry = chunk.iter().fold(0, |value, digit| value * 10 + u128::from(digit - b'0'));
            let scale = 10_u128.pow(chunk.len() as u32);
            for word in &mut words {
                let value = u128::from(*word) * scale + carry;
                *word = value as u64;
                carry = value >> 64;
            }
            if carry > 0 {
                words.push(carry as u64);
            }
        }
        Bits(words)
    }

    fn len(&self) -> usize {
        self.0.len() * 64
    }

    fn get(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
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
    fn bits_are_those_of_the_number() {
        // 2^200, 2^64 - 1 and 10^19, whose bits cross the borders of words and of chunks of digits.
        let power = "1606938044258990275541962092341162602522202993782792835301376";
        let set = |decimal: &str| (0..300).filter(|bit| Bits::of(decimal).get(*bit)).collect::<Vec<_>>();
        assert_eq!(set(power), [200]);
        assert_eq!(set("18446744073709551615"), (0..64).collect::<Vec<_>>());
        let expected: Vec<usize> = (0..64).filter(|bit| 10_u64.pow(19) >> bit & 1 == 1).collect();
        assert_eq!(set("10000000000000000000"), expected);
        assert_eq!(set(&format!("{:0>1000}", "5")), [0, 2]);
    }

    #[test]
    fn large_lists_cost_little() {
        let begun = std::time::Instant::now();
        for _ in 0..10 {
            assert_eq!(decode("o:a", &",".repeat(7500), &"9".repeat(4090)), [""; 0]);
            assert_eq!(decode(&"o:a,".repeat(3000), &"x,".repeat(3000), &"9,".repeat(3000)).len(), 0);
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(decode(&"o:a,".repeat(300), &"x,".repeat(300), &"7,".repeat(300)).len(), 900);
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
