//! Whether a visitor comes from a site whose sign-in the application does not know of yet.

use super::address::split_url;
use super::decision::Page;
use super::settings::Settings;

/// Suffixes of the accounts portals of development instances, which begin with `accounts.`.
const LEGACY_SUFFIXES: &[&str] = &[".lcl.dev", ".lclstage.dev", ".lclclerk.com"];
/// Suffixes of the accounts portals of development instances; with `.clerk` before them, of their Frontend APIs.
const PORTAL_SUFFIXES: &[&str] = &[".accounts.dev", ".accountsstage.dev", ".accounts.lclclerk.com"];

/// Returns whether a request for a document follows a link from another site than the application's own and Clerk's, outside a
/// series of redirects.
pub fn needs_cross_origin_sync(page: &Page<'_, '_>, settings: &Settings) -> bool {
    if !settings.cross_origin_sync || settings.is_satellite || !page.is_top_level || page.cookies.redirect_count > 0 {
        return false;
    }
    let (Some(address), Some(referer)) = (page.address(), page.referer) else { return false };
    let Some((origin, _)) = split_url(referer) else { return false };
    origin != address.origin && !is_clerks(&origin, settings, &address.origin)
}

fn is_clerks(origin: &str, settings: &Settings, own_origin: &str) -> bool {
    let host = origin.split_once("://").map_or("", |(_, rest)| rest.split(':').next().unwrap_or_default());
    let frontend = settings.frontend_host(own_origin);
    host == frontend
        || *origin == format!("https://{}", portal(frontend))
        || (!settings.instance.production
            && (PORTAL_SUFFIXES
                .iter()
                .any(|suffix| host.strip_suffix(suffix).is_some_and(|name| !name.ends_with(".clerk")))
                || (host.starts_with("accounts.") && LEGACY_SUFFIXES.iter().any(|suffix| host.ends_with(suffix)))))
}

/// The host of the accounts portal that belongs to a Frontend API.
fn portal(frontend: &str) -> String {
    if frontend.contains("clerk.accountsstage.") {
        return frontend.replacen("clerk.accountsstage.", "accountsstage.", 1);
    }
    let from = if frontend.contains("clerk.accounts.") { "clerk.accounts." } else { "clerk." };
    frontend.replacen(from, "accounts.", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_portal_follows_from_the_frontend_api() {
        for (frontend, host) in [
            ("clerk.example.com", "accounts.example.com"),
            ("clean-mayfly-62.clerk.accounts.dev", "clean-mayfly-62.accounts.dev"),
            ("x.clerk.accountsstage.dev", "x.accountsstage.dev"),
        ] {
            assert_eq!(portal(frontend), host);
        }
    }
}
