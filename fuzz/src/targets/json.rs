//! User objects.

use clerk_auth::internals::ClerkUser;
use clerk_auth::internals::parts::PrimaryEmail;

use crate::limits::watch;
use crate::second::Tree;

/// Input: the user object.
pub fn user(data: &[u8]) {
    let Some(user) = watch(|| ClerkUser::parse(data)) else { return };
    // Unknown members need not have a value that the second reader knows, such as 1e400.
    let Some(tree) = Tree::parse(data) else { return };
    assert_eq!(tree.text("id"), Some(user.id.as_str()));
    let flag = |name: &str| tree.get(name) == Some(&Tree::Bool(true));
    assert_eq!((user.banned, user.locked, user.deprovisioned), (flag("banned"), flag("locked"), flag("deprovisioned")));
    assert_eq!(user.is_blocked(), flag("banned") || flag("deprovisioned"));
    let usable = |name: &str| tree.text(name).filter(|value| !value.is_empty() && !value.contains('\0'));
    assert_eq!(user.username.as_deref(), usable("username"));
    assert_eq!(user.first_name.as_deref(), usable("first_name"));
    assert_eq!(user.last_name.as_deref(), usable("last_name"));
    assert_eq!(user.external_id.as_deref(), usable("external_id"));
    assert_eq!(user.image_url.as_deref(), usable("image_url").or(usable("profile_image_url")));
    let addresses = tree.get("email_addresses").and_then(Tree::items).unwrap_or_default();
    let primary = tree.text("primary_email_address_id").filter(|id| !id.is_empty());
    match &user.email {
        PrimaryEmail::Verified(address) => {
            let found = addresses.iter().find(|one| one.text("id") == primary).expect("the primary address");
            assert_eq!(found.text("email_address").map(str::trim), Some(address.as_str()));
            assert_eq!(found.get("verification").and_then(|v| v.text("status")), Some("verified"));
            assert_eq!(address.matches('@').count(), 1);
        }
        PrimaryEmail::NoAddress => assert!(addresses.is_empty() && primary.is_none()),
        PrimaryEmail::NoPrimary => assert!(!addresses.is_empty() && primary.is_none()),
        PrimaryEmail::Unverified => assert!(primary.is_some()),
    }
}
