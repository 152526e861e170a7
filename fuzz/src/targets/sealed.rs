//! Sealed entries of the shared cache: write access to the engine is enough neither to make an entry nor to move one.

use std::sync::OnceLock;

use clerk_auth::Secret;
use clerk_auth::internals::ClerkUser;
use clerk_auth::internals::parts::shared_cache::{
    Change, EntryKind, Message, Object, Sealer, UserSnapshot, WireMachineToken, decode, encode,
};

use crate::input::Input;
use crate::limits::watch;
use crate::second::Tree;
use crate::tokens::NOW_S;

const NOW_MS: i64 = NOW_S * 1000;
/// How far in the future an entry may have been sealed.
const TOLERANCE_MS: i64 = 300_000;
const KINDS: [EntryKind; 11] = [
    EntryKind::User,
    EntryKind::Generation,
    EntryKind::Lease,
    EntryKind::UserRevocation,
    EntryKind::UserDeletion,
    EntryKind::UserBan,
    EntryKind::UserBanEnd,
    EntryKind::SessionRevocation,
    EntryKind::MachineToken,
    EntryKind::MachineTokenGeneration,
    EntryKind::Jwks,
];

/// Sealers with the secrets `old`, `new` and both, and one of another instance.
fn sealers() -> &'static [Sealer; 4] {
    static SEALERS: OnceLock<[Sealer; 4]> = OnceLock::new();
    SEALERS.get_or_init(|| {
        [(&["old"][..], "ins_1"), (&["new"], "ins_1"), (&["new", "old"], "ins_1"), (&["old"], "ins_2")].map(
            |(secrets, instance)| {
                let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
                Sealer::new(&secrets, instance).expect("a secret")
            },
        )
    })
}

/// Input: who seals and opens, under which names, what happens to the entry in between, and its content.
pub fn sealed(data: &[u8]) {
    let mut input = Input(data);
    let [sealer, opener] = [(), ()].map(|()| input.below(4));
    let [kind, other_kind] = [(), ()].map(|()| KINDS[input.below(KINDS.len())]);
    let [id, other_id] = [(), ()].map(|()| format!("user_{}", input.below(3)));
    let (change, at, value) =
        (input.below(6), usize::from(input.byte()) << 8 | usize::from(input.byte()), input.byte());
    let content = input.0;
    let name = sealers()[sealer].names(kind, id.as_bytes())[0].clone();
    let entry = sealers()[sealer].seal(&name, content);
    let Some(entry) = entry else { return assert!(content.len() > 60 << 10, "not sealed") };
    let (mut changed, mut entries) = (entry.clone(), vec![entry]);
    match change {
        0 => {}
        1 => {
            let at = at % changed.len();
            changed[at] = value;
        }
        2 => changed.truncate(at % (changed.len() + 1)),
        3 => changed.push(value),
        // A part of an older entry in place of the new one.
        4 => {
            let older = sealers()[sealer].seal(&name, content).expect("as long");
            let at = at % changed.len();
            changed[at..].copy_from_slice(&older[at..]);
            entries.push(older);
        }
        // Whatever the engine makes up.
        _ => changed = content.to_vec(),
    }
    let wanted = sealers()[opener].names(other_kind, other_id.as_bytes());
    for wanted in &wanted {
        let opened = watch(|| sealers()[opener].open(wanted, &changed));
        let has_secret = matches!((sealer, opener), (0, 0 | 2) | (1 | 2, 1 | 2) | (3, 3));
        let is_right = entries.contains(&changed) && has_secret && *wanted == name;
        assert_eq!(opened.as_deref(), is_right.then_some(content), "{change} {sealer} {opener}");
    }
    // A name of one kind and id is that of no other, and shows neither.
    let is_same = kind == other_kind && (id == other_id);
    assert!(is_same || !wanted.contains(&name) || matches!(kind, EntryKind::Jwks));
    assert!(!name.contains("user_"));
    contents(&id, content);
}

/// What the secret's owner may have sealed by mistake: strict JSON, of this id and time.
fn contents(id: &str, content: &[u8]) {
    let user = watch(|| decode::<Object<UserSnapshot>>(id, content, NOW_MS));
    let machine = watch(|| decode::<Object<WireMachineToken>>(id, content, NOW_MS));
    if user.is_some() || machine.is_some() {
        let tree = Tree::parse(content).expect("JSON");
        assert_eq!(tree.text("id"), Some(id));
        let time = |name: &str| tree.get(name).and_then(Tree::number).expect("a time");
        assert!(time("sealed_at_ms") <= (NOW_MS + TOLERANCE_MS) as f64 && (NOW_MS as f64) < time("expires_at_ms"));
        assert!(matches!(tree.get("value"), Some(Tree::Object(_))), "an array for an object");
    }
    if let Some(Object(snapshot)) = user {
        let (version, is_blocked) = (snapshot.version_ms(), snapshot.is_blocked());
        let user: ClerkUser = snapshot.into_user();
        assert_eq!((user.updated_at_ms, user.is_blocked()), (version, is_blocked));
        let again = UserSnapshot::new(&user, 0, String::new());
        let encoded = encode(id, &again, NOW_MS, 1000).expect("JSON");
        assert_eq!(decode::<UserSnapshot>(id, &encoded, NOW_MS + 999).map(UserSnapshot::into_user), Some(user));
        assert!(decode::<UserSnapshot>(id, &encoded, NOW_MS + 1000).is_none(), "past its end");
        assert!(decode::<UserSnapshot>("user_other", &encoded, NOW_MS).is_none(), "about another user");
    }
    if let Some(message) = watch(|| Message::decode(content)) {
        let tree = Tree::parse(content).expect("JSON");
        assert!(matches!(tree.get("change"), Some(Tree::Object(_) | Tree::String(_))));
        let encoded = message.encode().expect("JSON");
        let again = Message::decode(&encoded).expect("its own encoding");
        assert_eq!(again.change, message.change);
        assert!(message.change != Change::Start || tree.text("change") == Some("start"));
    }
}
