//! The enumerations of the C ABI, as the Rust sources define them.

use std::path::Path;

/// A value of an enumeration.
pub struct Value {
    /// As in the C header, without the prefix of the enumeration: `TOKEN_EXPIRED`.
    pub name: String,
    pub number: i32,
    /// The doc comment, in lines.
    pub doc: Vec<String>,
}

impl Value {
    pub fn snake(&self) -> String {
        self.name.to_lowercase()
    }
}

/// An enumeration of the C ABI.
pub struct Enumeration {
    /// The C name without `clerk_`: `token_kind`.
    pub name: &'static str,
    pub doc: Vec<String>,
    pub values: Vec<Value>,
}

impl Enumeration {
    /// The C name of a value.
    pub fn c_name(&self, value: &Value) -> String {
        match self.name {
            "status" => format!("CLERK_{}", value.name),
            name => format!("CLERK_{}_{}", name.to_uppercase(), value.name),
        }
    }
}

/// The C name and the Rust name of each enumeration.
const NAMES: [(&str, &str); 17] = [
    ("status", "clerk_status"),
    ("reason", "Reason"),
    ("category", "Category"),
    ("source", "Source"),
    ("log_level", "Level"),
    ("token_kind", "TokenKind"),
    ("attribute", "Attribute"),
    ("event_kind", "clerk_event_kind"),
    ("store_request_kind", "clerk_store_request_kind"),
    ("column", "clerk_column"),
    ("check", "clerk_check"),
    ("setting_type", "clerk_setting_type"),
    ("token_source", "clerk_token_source"),
    ("handshake_source", "HandshakeSource"),
    ("endpoint", "Endpoint"),
    ("call_status", "CallStatus"),
    ("shared_cache_state", "SharedCacheState"),
];

/// Reads all enumerations. Panics when one is missing.
pub fn enumerations() -> Vec<Enumeration> {
    let mut items = Vec::new();
    read(&super::root().join("src"), &mut items);
    NAMES.map(|(name, rust)| enumeration(name, rust, &items)).into()
}

fn read(folder: &Path, items: &mut Vec<syn::Item>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, items);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            items.extend(syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap().items);
        }
    }
}

fn enumeration(name: &'static str, rust: &str, items: &[syn::Item]) -> Enumeration {
    let found = items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == rust => Some(item),
        _ => None,
    });
    let value = |ident: String, number: &syn::Expr, attributes: &[syn::Attribute]| Value {
        name: match name {
            "status" => ident.trim_start_matches("CLERK_").into(),
            _ => screaming(&ident),
        },
        number: integer(number),
        doc: doc(attributes),
    };
    let (doc, values) = match found {
        Some(item) => {
            let of = |variant: &syn::Variant| {
                let number = &variant.discriminant.as_ref().expect("an explicit number").1;
                value(variant.ident.to_string(), number, &variant.attrs)
            };
            (doc(&item.attrs), item.variants.iter().map(of).collect())
        }
        None if name == "status" => (vec!["What a function returned.".into()], statuses(items, value)),
        None => panic!("no enum {rust} below src"),
    };
    Enumeration { name, doc, values }
}

/// Statuses as constants.
fn statuses(items: &[syn::Item], value: impl Fn(String, &syn::Expr, &[syn::Attribute]) -> Value) -> Vec<Value> {
    let of = |item: &syn::Item| match item {
        syn::Item::Const(item) => {
            let name = item.ident.to_string();
            let is_status = name.starts_with("CLERK_") && !name.starts_with("CLERK_STORE_") && !name.contains("_ABI_");
            is_status.then(|| value(name, &item.expr, &item.attrs))
        }
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

/// `TokenExpired` and `TOKEN_EXPIRED` → `TOKEN_EXPIRED`.
fn screaming(name: &str) -> String {
    if name.contains('_') || name.chars().all(|c| !c.is_lowercase()) {
        return name.into();
    }
    let mut made = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !made.is_empty() {
            made.push('_');
        }
        made.extend(c.to_uppercase());
    }
    made
}

fn integer(expr: &syn::Expr) -> i32 {
    match expr {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => number.base10_parse().unwrap(),
        syn::Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => -integer(expr),
        _ => panic!("a number must be a literal"),
    }
}

fn doc(attributes: &[syn::Attribute]) -> Vec<String> {
    let line = |attribute: &syn::Attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            path,
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }),
            ..
        }) if path.is_ident("doc") => Some(text.value().trim().to_owned()),
        _ => None,
    };
    let lines = attributes.iter().filter_map(line).filter(|line| !line.starts_with("cbindgen:"));
    // Examples are in Rust.
    let mut lines: Vec<String> = lines.map(|line| plain(&line)).take_while(|line| line != "# Examples").collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Replaces links of rustdoc by plain names.
fn plain(line: &str) -> String {
    line.replace("[`", "`").replace("`]", "`")
}
