//! Strict JSON for untrusted input: no duplicate member, bounded depth, UTF-8 only, every value of interest with
//! its type, and nothing kept of the others.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

/// The maximum number of members of an object that is read by name.
const MAX_MEMBERS: usize = 256;
/// The maximum number of strings of an array that is read.
const MAX_ITEMS: usize = 512;
/// The number of names of members that take no memory.
const MAX_NAMES: usize = 16;

/// A member of an object that the caller expects to have one type. `null` counts as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Claim<T> {
    /// There is no such member.
    #[default]
    Absent,
    /// The member has another type than expected.
    Invalid,
    /// The member has the expected type.
    Present(T),
}

impl<T> Claim<T> {
    fn from_option(value: Option<T>) -> Self {
        value.map_or(Claim::Invalid, Claim::Present)
    }

    /// Returns the value, or `None` if it is absent or invalid.
    pub fn into_option(self) -> Option<T> {
        match self {
            Claim::Present(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the value, or `None` if it is absent or invalid.
    pub fn get(&self) -> Option<&T> {
        match self {
            Claim::Present(value) => Some(value),
            _ => None,
        }
    }
}

impl<T: AsRef<str>> Claim<T> {
    /// Returns the string, or `None` if it is absent or invalid.
    pub fn as_deref(&self) -> Option<&str> {
        self.get().map(T::as_ref)
    }
}

/// How a type is read from a value of any JSON type. What it does not keep is checked nevertheless: depth, UTF-8, numbers.
trait Read<'de>: Sized {
    /// Makes a value of anything but an array; members of an object are not given.
    fn scalar(json: Json<'de>) -> Self;

    fn array<A: SeqAccess<'de>>(array: A) -> Result<Self, A::Error> {
        skip_array(array).map(|()| Self::scalar(Json::Array))
    }

    fn object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        read_members::<Dropped, A>(object).map(|Dropped| Self::scalar(Json::Object))
    }
}

struct ReadVisitor<T>(PhantomData<T>);

impl<'de, T: Read<'de>> Visitor<'de> for ReadVisitor<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::scalar(Json::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::scalar(Json::Bool(value)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::scalar(Json::Number(value as f64)))
    }
    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::scalar(Json::Number(value as f64)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<T, E> {
        Ok(T::scalar(Json::Number(value)))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<T, E> {
        Ok(T::scalar(Json::String(Cow::Borrowed(value))))
    }
    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::scalar(Json::String(Cow::Owned(value.into()))))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<T, A::Error> {
        T::array(array)
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

fn read<'de, T: Read<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ReadVisitor(PhantomData))
}

fn skip_array<'de, A: SeqAccess<'de>>(mut array: A) -> Result<(), A::Error> {
    while array.next_element::<Json<'de>>()?.is_some() {}
    Ok(())
}

/// A JSON value. Strings without escapes borrow from the input; items of arrays and members of objects are checked and dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// Exact up to [`MAX_EXACT_INTEGER`]; the caller rejects what lies beyond.
    Number(f64),
    String(Cow<'a, str>),
    Array,
    Object,
}

impl<'a> Json<'a> {
    pub fn string(self) -> Claim<Cow<'a, str>> {
        match self {
            Json::String(string) => Claim::Present(string),
            _ => Claim::Invalid,
        }
    }

    pub fn number(self) -> Claim<f64> {
        match self {
            Json::Number(number) => Claim::Present(number),
            _ => Claim::Invalid,
        }
    }
}

impl<'de> Read<'de> for Json<'de> {
    fn scalar(json: Json<'de>) -> Self {
        json
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// A string, or an array of at most 512 strings and nothing else (RFC 7519 §4.1.3).
pub struct StringOrArray<'a>(pub Claim<Strings<'a>>);

/// The strings of an array; without escapes they borrow from the input.
pub type Strings<'a> = Vec<Cow<'a, str>>;

/// A [`StringOrArray`] that is checked and not read yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnreadStrings<'a>(Option<&'a RawValue>);

impl<'a> UnreadStrings<'a> {
    /// Returns the strings.
    pub fn read(self) -> Claim<Strings<'a>> {
        let Some(value) = self.0 else { return Claim::Absent };
        serde_json::from_str(value.get()).map_or(Claim::Invalid, |StringOrArray(strings)| strings)
    }
}

impl<'de> Deserialize<'de> for UnreadStrings<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        // Finds what the deserializer has skipped: duplicate members, for example.
        serde_json::from_str::<Json<'_>>(value.get()).map_err(de::Error::custom)?;
        Ok(UnreadStrings(Some(value)))
    }
}

impl<'de> Read<'de> for StringOrArray<'de> {
    fn scalar(json: Json<'de>) -> Self {
        StringOrArray(Claim::from_option(json.string().into_option().map(|string| vec![string])))
    }

    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        let mut strings = Vec::new();
        while let Some(item) = array.next_element::<Json<'de>>()? {
            match item {
                Json::String(string) if strings.len() < MAX_ITEMS => strings.push(string),
                _ => return skip_array(array).map(|()| StringOrArray(Claim::Invalid)),
            }
        }
        Ok(StringOrArray(Claim::Present(strings)))
    }
}

impl<'de> Deserialize<'de> for StringOrArray<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// An array of at most 512 items; an item that is no string is `None`.
#[derive(Debug, PartialEq)]
pub struct AnyItems(pub Claim<Vec<Option<String>>>);

impl Default for AnyItems {
    fn default() -> Self {
        AnyItems(Claim::Absent)
    }
}

impl<'de> Read<'de> for AnyItems {
    fn scalar(_: Json<'de>) -> Self {
        AnyItems(Claim::Invalid)
    }

    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        let mut strings = Vec::new();
        while let Some(item) = array.next_element::<Json<'de>>()? {
            if strings.len() == MAX_ITEMS {
                return skip_array(array).map(|()| AnyItems(Claim::Invalid));
            }
            strings.push(item.string().into_option().map(Cow::into_owned));
        }
        Ok(AnyItems(Claim::Present(strings)))
    }
}

impl<'de> Deserialize<'de> for AnyItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// An array of exactly two integers.
pub struct IntegerPair(pub Claim<[i64; 2]>);

impl<'de> Read<'de> for IntegerPair {
    fn scalar(_: Json<'de>) -> Self {
        IntegerPair(Claim::Invalid)
    }

    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        let integer = |item: Json<'_>| match item {
            Json::Number(n) if n.abs() <= MAX_EXACT_INTEGER && n as i64 as f64 == n => Some(n as i64),
            _ => None,
        };
        let mut pair: SmallVec<[Option<i64>; 2]> = SmallVec::new();
        while let Some(item) = array.next_element::<Json<'de>>()? {
            if pair.len() == 2 {
                return skip_array(array).map(|()| IntegerPair(Claim::Invalid));
            }
            pair.push(integer(item));
        }
        Ok(IntegerPair(match pair[..] {
            [Some(a), Some(b)] => Claim::Present([a, b]),
            _ => Claim::Invalid,
        }))
    }
}

impl<'de> Deserialize<'de> for IntegerPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// 2^53: a double represents every integer up to this exactly (RFC 8259 §6).
pub const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// A string and nothing else; borrowed when it holds no escapes.
pub struct JsonStr<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonStr<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;
        impl<'de> Visitor<'de> for StrVisitor {
            type Value = JsonStr<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(JsonStr(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(JsonStr(Cow::Owned(value.into())))
            }
        }
        deserializer.deserialize_str(StrVisitor)
    }
}

/// Receives the members of one object.
pub trait ObjectVisitor<'de>: Default {
    /// Reads the value of the member `name` from `map` and returns `true`; returns `false` to have it checked and dropped.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

fn read_members<'de, T: ObjectVisitor<'de>, A: MapAccess<'de>>(map: A) -> Result<T, A::Error> {
    let mut object = T::default();
    read_members_into(&mut object, map)?;
    Ok(object)
}

fn read_members_into<'de, T: ObjectVisitor<'de>, A: MapAccess<'de>>(
    object: &mut T,
    mut map: A,
) -> Result<(), A::Error> {
    let mut names = Names::default();
    while let Some(JsonStr(name)) = map.next_key()? {
        if names.len() == MAX_MEMBERS {
            return Err(de::Error::custom("too many members"));
        }
        if !object.member(&name, &mut map)? {
            map.next_value::<Json<'de>>()?;
        }
        names.push(name);
    }
    // Two parsers must not read different values from one token (CVE-2022-39227).
    if names.has_duplicates() {
        return Err(de::Error::custom("duplicate member"));
    }
    Ok(())
}

/// The names of an object's members, compared when it ends. Beyond the room for most objects, only their hashes are stored: objects
/// can be nested, and each allocates.
#[derive(Default)]
struct Names<'de> {
    /// Clerk sorts the members of its tokens.
    is_unsorted: bool,
    /// All names, or the first ones and the last one.
    names: SmallVec<[Cow<'de, str>; MAX_NAMES]>,
    /// Of all names, if there are more. With a random key, so that no name can be made that collides with another.
    hashes: Vec<u64>,
    hasher: Option<RandomState>,
}

impl<'de> Names<'de> {
    fn len(&self) -> usize {
        self.names.len().max(self.hashes.len())
    }

    fn push(&mut self, name: Cow<'de, str>) {
        self.is_unsorted |= self.names.last().is_some_and(|last| *last >= name);
        if self.names.len() == MAX_NAMES {
            let hasher = self.hasher.get_or_insert_default();
            if self.hashes.is_empty() {
                self.hashes.extend(self.names.iter().map(|name| hasher.hash_one(name)));
            }
            self.hashes.push(hasher.hash_one(&name));
            self.names.pop();
        }
        self.names.push(name);
    }

    fn has_duplicates(mut self) -> bool {
        fn any_twice<T: Ord>(values: &mut [T]) -> bool {
            values.sort_unstable();
            values.windows(2).any(|pair| pair[0] == pair[1])
        }
        self.is_unsorted
            && if self.hashes.is_empty() { any_twice(&mut self.names) } else { any_twice(&mut self.hashes) }
    }
}

/// An object whose members are checked and dropped.
#[derive(Default)]
struct Dropped;

impl<'de> ObjectVisitor<'de> for Dropped {
    fn member<A: MapAccess<'de>>(&mut self, _: &str, _: &mut A) -> Result<bool, A::Error> {
        Ok(false)
    }
}

/// An object inside an object; a value of another type is [`Claim::Invalid`].
pub struct Nested<T>(pub Claim<T>);

impl<'de, T: ObjectVisitor<'de>> Read<'de> for Nested<T> {
    fn scalar(_: Json<'de>) -> Self {
        Nested(Claim::Invalid)
    }

    fn object<A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        read_members(object).map(|object| Nested(Claim::Present(object)))
    }
}

impl<'de, T: ObjectVisitor<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// Parses input that is exactly one value, in UTF-8: serde_json does not check the strings that it skips.
fn from_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// Returns whether input is JSON.
pub fn is_valid(bytes: &[u8]) -> bool {
    from_bytes::<de::IgnoredAny>(bytes).is_some()
}

/// Parses input that is exactly one object. Returns `None` otherwise.
pub fn object<'de, T: ObjectVisitor<'de>>(bytes: &'de [u8]) -> Option<T> {
    let mut object = T::default();
    object_into(&mut object, std::str::from_utf8(bytes).ok()?).then_some(object)
}

/// Parses a string that is exactly one object into a value that is not moved. Returns false if it is not; then the value has
/// some of its members.
pub fn object_into<'de, T: ObjectVisitor<'de>>(object: &mut T, string: &'de str) -> bool {
    struct Into<'a, T>(&'a mut T);

    impl<'de, T: ObjectVisitor<'de>> Visitor<'de> for Into<'_, T> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
            read_members_into(self.0, map)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(string);
    deserializer.deserialize_map(Into(object)).is_ok() && deserializer.end().is_ok()
}

/// A value whose type is derived, from an object only: derived code accepts an array of the members as well.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOf<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOf<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectOf(PhantomData))
    }
}

/// Deserializes a member of a derived type from an object only.
pub fn only_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Deserializes a member from an array of objects.
pub fn only_objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Vec::deserialize(deserializer).map(|items| items.into_iter().map(|Object(item)| item).collect())
}

/// An array of at most 512 items: a short item may take many times its length.
#[derive(Debug, Default)]
pub struct Items<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsOf<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ItemsOf<T> {
            type Value = Items<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_ITEMS} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Items<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = array.next_element()? {
                    if items.len() == MAX_ITEMS {
                        return Err(de::Error::invalid_length(MAX_ITEMS + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsOf(PhantomData))
    }
}

/// Parses input that is exactly one object of a derived type. Returns `None` otherwise.
pub fn derived<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    from_bytes(bytes).map(|Object(value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(input: &str) -> Claim<Strings<'_>> {
        serde_json::from_str::<StringOrArray<'_>>(input).unwrap().0
    }

    fn is_accepted(bytes: &[u8]) -> bool {
        object::<Dropped>(bytes).is_some()
    }

    // Threat A10: deep nesting.
    #[test]
    fn deep_nesting_is_rejected_without_stack_overflow() {
        let nested = |depth: usize| format!("{{\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_accepted(nested(100).as_bytes()));
        for depth in [200, 100_000] {
            assert!(!is_accepted(nested(depth).as_bytes()));
        }
    }

    #[test]
    fn members_and_items_are_bounded() {
        let members = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"m{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(is_accepted(members(MAX_MEMBERS).as_bytes()) && !is_accepted(members(MAX_MEMBERS + 1).as_bytes()));
        let items = |count: usize| format!("[{}\"x\"]", "\"x\",".repeat(count - 1));
        assert!(matches!(strings(&items(MAX_ITEMS)), Claim::Present(items) if items.len() == MAX_ITEMS));
        assert_eq!(strings(&items(MAX_ITEMS + 1)), Claim::Invalid);
    }

    #[test]
    fn duplicate_is_found_among_any_number_of_members() {
        let object = |names: &[usize]| {
            let members: Vec<String> = names.iter().map(|n| format!("\"m{n:03}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        for count in [2, MAX_NAMES, MAX_NAMES + 1, MAX_NAMES + 2, MAX_MEMBERS] {
            let sorted: Vec<usize> = (0..count).collect();
            let reversed: Vec<usize> = sorted.iter().rev().copied().collect();
            assert!(is_accepted(object(&sorted).as_bytes()) && is_accepted(object(&reversed).as_bytes()), "{count}");
            for names in [sorted, reversed] {
                for (first, second) in [(0, 1), (0, count - 1), (count - 2, count - 1), (count / 2, count - 1)] {
                    let mut names = names.clone();
                    names[second] = names[first];
                    assert_eq!(is_accepted(object(&names).as_bytes()), first == second, "{count}: {first}, {second}");
                }
            }
        }
    }

    #[test]
    fn strings_that_are_read_later_are_checked_at_once() {
        let read = |input: &'static str| serde_json::from_str::<UnreadStrings<'_>>(input).map(UnreadStrings::read).ok();
        assert_eq!(read(r#""a""#), Some(Claim::Present(vec!["a".into()])));
        assert_eq!(read(r#"["a","\u0062"]"#), Some(Claim::Present(vec!["a".into(), "b".into()])));
        for invalid in ["null", "5", r#"["a",1]"#, r#"{"a":1}"#] {
            assert_eq!(read(invalid), Some(Claim::Invalid), "{invalid}");
        }
        for malformed in [r#"["a""#, r#"[{"a":1,"a":1}]"#, r#"["\ud800"]"#, "[1e400]"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(serde_json::from_str::<UnreadStrings<'_>>(&nested).is_err());
        assert_eq!(UnreadStrings::default().read(), Claim::Absent);
    }

    #[test]
    fn derived_type_is_read_from_an_object_only() {
        #[derive(serde::Deserialize, Debug, PartialEq)]
        struct Id<'a> {
            id: &'a str,
        }
        assert_eq!(derived::<Id<'_>>(br#"{"id":"a","x":[{}]}"#), Some(Id { id: "a" }));
        for other in [r#"["a"]"#, r#""a""#, "null", "[]", "{}", r#"{"id":"a","id":"a"}"#, r#"{"id":"a"} x"#] {
            assert_eq!(derived::<Id<'_>>(other.as_bytes()), None, "{other}");
        }
        assert_eq!(derived::<Id<'_>>(b"{\"id\":\"a\",\"x\":\"\xff\"}"), None, "ignored and not UTF-8");
    }

    #[test]
    fn ambiguous_json_is_rejected() {
        for invalid in [
            r#"{"x":1e400}"#,
            r#"{"x":"\ud800"}"#,
            r#"{"x":1}}"#,
            "{\"x\":\"\u{1}\"}",
            r#"{"x":NaN}"#,
            r#"{'x':1}"#,
            "[]",
            "null",
            "",
            "\u{feff}{}",
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"x":[[{"y":{"a":1,"\u0061":1}}]]}"#,
        ] {
            assert!(!is_accepted(invalid.as_bytes()), "{invalid}");
        }
        assert!(!is_accepted(b"{\"x\":\"\xff\"}"));
    }

    #[test]
    fn array_of_any_items_keeps_the_strings_and_is_bounded() {
        let read = |input: &str| serde_json::from_str::<AnyItems>(input).unwrap().0;
        assert_eq!(read(r#"["a",1,["b"],null]"#), Claim::Present(vec![Some("a".into()), None, None, None]));
        assert!(matches!(read(&format!("[{}0]", "0,".repeat(MAX_ITEMS - 1))), Claim::Present(_)));
        for malformed in ["{}", "null", r#""a""#, &format!("[{}0]", "0,".repeat(MAX_ITEMS))] {
            assert_eq!(read(malformed), Claim::Invalid);
        }
    }

    #[test]
    fn arrays_and_pairs_of_wrong_types_are_invalid() {
        assert_eq!(strings(r#""a""#), Claim::Present(vec!["a".into()]));
        assert_eq!(strings(r#"["a","b"]"#), Claim::Present(vec!["a".into(), "b".into()]));
        for malformed in [r#"["a",1]"#, r#"[["a"]]"#, "null", "5", "{}"] {
            assert_eq!(strings(malformed), Claim::Invalid);
        }
        let pair = |input: &str| serde_json::from_str::<IntegerPair>(input).unwrap().0;
        assert_eq!(pair("[1,-1]"), Claim::Present([1, -1]));
        for malformed in ["[]", "[1]", "[1,2,3]", "[1,2,[3]]", "[1,0.5]", "[1,\"2\"]", "5"] {
            assert_eq!(pair(malformed), Claim::Invalid);
        }
    }
}
