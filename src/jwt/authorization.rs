//! Authorization checks on a session: role, permission, feature, plan and reverification (Clerk's `has()`).

/// The checks of one call of [`Identity::has`](crate::Identity::has). All checks that are set must pass; a set without any fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizationParams<'a> {
    /// The role in the active organization; the prefix `org:` is optional.
    pub role: Option<&'a str>,
    /// A permission in the active organization, `org:<feature>:<permission>`; the prefix `org:` is optional.
    pub permission: Option<&'a str>,
    /// The slug of a feature; with the prefix `org:` or `user:` only that scope counts.
    pub feature: Option<&'a str>,
    /// The slug of a plan; with the prefix `org:` or `user:` only that scope counts.
    pub plan: Option<&'a str>,
    /// How recently the user must have verified their credentials.
    pub reverification: Option<Reverification>,
}

/// The factors that a reverification requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorLevel {
    /// `first_factor`: the first factor.
    FirstFactor,
    /// `second_factor`: the second factor, or the first for users without one.
    SecondFactor,
    /// `multi_factor`: both factors, or the first for users without a second one.
    MultiFactor,
}

/// Requires a recent verification of the user's factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverification {
    /// The factors that must be recent.
    pub level: FactorLevel,
    /// The age in minutes from which a verification is no longer recent.
    pub after_minutes: i64,
}

impl Reverification {
    /// Returns Clerk's preset of this name: `strict_mfa`, `strict`, `moderate` or `lax`.
    pub fn preset(name: &str) -> Option<Self> {
        let (level, after_minutes) = match name {
            "strict_mfa" => (FactorLevel::MultiFactor, 10),
            "strict" => (FactorLevel::SecondFactor, 10),
            "moderate" => (FactorLevel::SecondFactor, 60),
            "lax" => (FactorLevel::SecondFactor, 1440),
            _ => return None,
        };
        Some(Reverification { level, after_minutes })
    }

    /// Checks `fva`: minutes since each factor was verified, -1 for a factor that never was.
    fn is_satisfied_by(self, [first, second]: [i64; 2]) -> bool {
        // A second factor without a first one does not exist.
        if first < 0 || second < -1 || self.after_minutes <= 0 {
            return false;
        }
        let fresh = |age: i64| self.after_minutes > age;
        match self.level {
            FactorLevel::FirstFactor => fresh(first),
            _ if second == -1 => fresh(first),
            FactorLevel::SecondFactor => fresh(second),
            FactorLevel::MultiFactor => fresh(first) && fresh(second),
        }
    }
}

/// The claims of a session that authorization checks read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorization<'a> {
    /// The role in the active organization with the prefix `org:`; `None` without an active organization.
    pub role: Option<&'a str>,
    /// The permissions in the active organization, each with the prefix `org:`, separated by commas.
    pub permissions: &'a str,
    /// The claim `fea`, unchanged.
    pub features: &'a str,
    /// The claim `pla`, unchanged.
    pub plans: &'a str,
    /// The claim `fva`: minutes since the first and the second factor were verified.
    pub factor_verification_age: Option<[i64; 2]>,
}

impl Authorization<'_> {
    /// Returns whether all checks in `params` pass and there is at least one (CVE-2026-42349: a failed check was ignored).
    pub fn has(&self, params: &AuthorizationParams<'_>) -> bool {
        let checks = [
            params.role.map(|role| self.has_role(role)),
            params.permission.map(|permission| self.has_permission(permission)),
            params.feature.map(|feature| has_scoped(self.features, feature)),
            params.plan.map(|plan| has_scoped(self.plans, plan)),
            params
                .reverification
                .map(|required| self.factor_verification_age.is_some_and(|minutes| required.is_satisfied_by(minutes))),
        ];
        checks.iter().any(Option::is_some) && checks.iter().flatten().all(|passed| *passed)
    }

    fn has_role(&self, role: &str) -> bool {
        let role = strip_org_prefix(role);
        !role.is_empty() && self.role.is_some_and(|own| strip_org_prefix(own) == role)
    }

    fn has_permission(&self, permission: &str) -> bool {
        let permission = strip_org_prefix(permission);
        !permission.is_empty() && self.permissions.split(',').any(|own| own.strip_prefix("org:") == Some(permission))
    }
}

/// Strips the prefix, also a repeated one, like Clerk's own check.
fn strip_org_prefix(name: &str) -> &str {
    name.trim_start_matches("org:")
}

/// Returns whether a list of `<scopes>:<slug>` has `wanted`: a slug in any scope, or `<scope>:<slug>`.
fn has_scoped(list: &str, wanted: &str) -> bool {
    let (scope, slug) = match wanted.split_once(':') {
        Some(("org" | "o" | "organization", slug)) => (Some('o'), slug),
        Some(("user" | "u", slug)) => (Some('u'), slug),
        Some(_) => return false,
        None => (None, wanted),
    };
    !slug.is_empty()
        && list.split(',').filter_map(|item| item.trim().split_once(':')).any(|(scopes, own)| {
            own == slug && ["o", "u", "ou", "uo"].contains(&scopes) && scope.is_none_or(|s| scopes.contains(s))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Authorization<'static> = Authorization {
        role: Some("org:admin"),
        permissions: "org:a:read,org:a:write",
        features: "o:audit,u:chat,ou:both",
        plans: "u:pro",
        factor_verification_age: Some([5, -1]),
    };

    fn params<'a>(check: &str, value: &'a str) -> AuthorizationParams<'a> {
        let mut params = AuthorizationParams::default();
        match check {
            "role" => params.role = Some(value),
            "permission" => params.permission = Some(value),
            "feature" => params.feature = Some(value),
            _ => params.plan = Some(value),
        }
        params
    }

    #[test]
    fn single_check_matches_exact_names_only() {
        for (check, passing, failing) in [
            (
                "role",
                &["admin", "org:admin", "org:org:admin"][..],
                &["", "org:", "org:org:", "org:org:member", "member", "Admin"][..],
            ),
            (
                "permission",
                &["a:read", "org:a:write", "org:org:a:read"],
                &["", "a", "org:", "a:rea", "org:a:read,org:a:write"],
            ),
            (
                "feature",
                &["audit", "org:audit", "o:audit", "user:chat", "u:both", "both"],
                &["", "user:audit", "x:audit", "o:"],
            ),
            ("plan", &["pro", "user:pro", "u:pro"], &["org:pro", "free"]),
        ] {
            for value in passing {
                assert!(SESSION.has(&params(check, value)), "{check} {value}");
            }
            for value in failing {
                assert!(!SESSION.has(&params(check, value)), "{check} {value}");
                assert!(!Authorization::default().has(&params(check, value)));
            }
        }
    }

    // Threat B7.
    #[test]
    fn combined_checks_pass_only_if_all_pass() {
        let states = [None, Some(false), Some(true)];
        let mut count = 0;
        for role in states {
            for permission in states {
                for feature in states {
                    for plan in states {
                        for fresh in states {
                            let reverification = |yes: bool| Reverification {
                                level: FactorLevel::FirstFactor,
                                after_minutes: if yes { 6 } else { 5 },
                            };
                            let params = AuthorizationParams {
                                role: role.map(|yes| if yes { "admin" } else { "other" }),
                                permission: permission.map(|yes| if yes { "a:read" } else { "other" }),
                                feature: feature.map(|yes| if yes { "chat" } else { "other" }),
                                plan: plan.map(|yes| if yes { "pro" } else { "other" }),
                                reverification: fresh.map(reverification),
                            };
                            let all = [role, permission, feature, plan, fresh];
                            let expected = all.iter().any(Option::is_some) && !all.contains(&Some(false));
                            assert_eq!(SESSION.has(&params), expected, "{params:?}");
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(count, 243);
    }

    #[test]
    fn reverification_falls_back_to_the_enrolled_factor() {
        let holds = |level, after_minutes, ages| Reverification { level, after_minutes }.is_satisfied_by(ages);
        assert!(holds(FactorLevel::SecondFactor, 10, [5, -1]));
        assert!(holds(FactorLevel::MultiFactor, 10, [5, -1]));
        assert!(!holds(FactorLevel::MultiFactor, 10, [5, 11]));
        assert!(!holds(FactorLevel::SecondFactor, 10, [5, 11]));
        assert!(!holds(FactorLevel::FirstFactor, 5, [5, 0]));
        for level in [FactorLevel::FirstFactor, FactorLevel::SecondFactor, FactorLevel::MultiFactor] {
            assert!(!holds(level, 5, [-1, -1]));
            assert!(!holds(level, 10, [-1, 3]), "second factor without a first");
            assert!(!holds(level, 10, [-2, 3]) && !holds(level, 10, [3, -2]));
        }
        assert!(holds(FactorLevel::FirstFactor, 10, [5, 11]) && !holds(FactorLevel::FirstFactor, 10, [11, 5]));
        assert!(!holds(FactorLevel::FirstFactor, 0, [0, 0]));
        assert_eq!(Reverification::preset("lax").unwrap().after_minutes, 1440);
        assert_eq!(Reverification::preset("loose"), None);
    }
}
