//! `has()`: does the session hold a role, a permission, a feature, a plan, and was the user verified lately?

/// What a session may be asked for. Every question asked has to be answered with yes; no question at all is a no.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `org:admin`, or without the prefix.
    pub role: Option<&'a str>,
    /// `org:feature:permission`, or without the prefix.
    pub permission: Option<&'a str>,
    /// A feature's slug; `org:` or `user:` in front looks only there.
    pub feature: Option<&'a str>,
    /// A plan's slug; `org:` or `user:` in front looks only there.
    pub plan: Option<&'a str>,
    /// How long ago the user was last verified.
    pub reverification: Option<Reverification>,
}

/// Which factor must have been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    /// The first factor.
    First,
    /// The second factor, or the first for users without one.
    Second,
    /// Both factors, or the first for users without a second one.
    Both,
}

/// A demand for a fresh verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverification {
    /// Which factor.
    pub factors: Factors,
    /// Within how many minutes.
    pub after_minutes: i64,
}

impl Reverification {
    /// Clerk's presets: `strict_mfa`, `strict`, `moderate`, `lax`.
    pub fn preset(name: &str) -> Option<Self> {
        let (factors, after_minutes) = match name {
            "strict_mfa" => (Factors::Both, 10),
            "strict" => (Factors::Second, 10),
            "moderate" => (Factors::Second, 60),
            "lax" => (Factors::Second, 1440),
            _ => return None,
        };
        Some(Reverification { factors, after_minutes })
    }

    /// `fva`: minutes since each factor was verified, -1 for never or not enrolled.
    fn holds(self, [first, second]: [i64; 2]) -> bool {
        // Nobody has a second factor without a first one.
        if first < 0 || second < -1 || self.after_minutes <= 0 {
            return false;
        }
        let fresh = |age: i64| self.after_minutes > age;
        match self.factors {
            Factors::First => fresh(first),
            _ if second == -1 => fresh(first),
            Factors::Second => fresh(second),
            Factors::Both => fresh(first) && fresh(second),
        }
    }
}

/// What a session holds, as the answers need it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorization<'a> {
    /// With the prefix `org:`; `None` without an active organization.
    pub role: Option<&'a str>,
    /// Separated by commas, with the prefix `org:`.
    pub permissions: &'a str,
    /// `fea`, as it stands.
    pub features: &'a str,
    /// `pla`, as it stands.
    pub plans: &'a str,
    /// `fva`.
    pub factor_ages: Option<[i64; 2]>,
}

impl Authorization<'_> {
    /// Whether every question asked is answered with yes (CVE-2026-42349 was a no that did not count).
    pub fn has(&self, asked: &Asked<'_>) -> bool {
        let answers = [
            asked.role.map(|role| self.role.is_some_and(|own| !bare(role).is_empty() && bare(own) == bare(role))),
            asked.permission.map(|permission| self.has_permission(permission)),
            asked.feature.map(|feature| in_scope(self.features, feature)),
            asked.plan.map(|plan| in_scope(self.plans, plan)),
            asked.reverification.map(|demand| self.factor_ages.is_some_and(|ages| demand.holds(ages))),
        ];
        answers.iter().any(Option::is_some) && answers.iter().flatten().all(|yes| *yes)
    }

    fn has_permission(&self, permission: &str) -> bool {
        let asked = bare(permission);
        !asked.is_empty() && self.permissions.split(',').any(|own| own.strip_prefix("org:") == Some(asked))
    }
}

/// Without the prefix, however often it was written, as Clerk's own check has it.
fn bare(name: &str) -> &str {
    name.trim_start_matches("org:")
}

/// Whether a list of `scope:slug` holds a slug, in the scope that was written in front or in any.
fn in_scope(list: &str, asked: &str) -> bool {
    let (scope, slug) = match asked.split_once(':') {
        Some(("org" | "o" | "organization", slug)) => (Some('o'), slug),
        Some(("user" | "u", slug)) => (Some('u'), slug),
        Some(_) => return false,
        None => (None, asked),
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
        factor_ages: Some([5, -1]),
    };

    fn asked<'a>(dimension: &str, value: &'a str) -> Asked<'a> {
        let mut asked = Asked::default();
        match dimension {
            "role" => asked.role = Some(value),
            "permission" => asked.permission = Some(value),
            "feature" => asked.feature = Some(value),
            _ => asked.plan = Some(value),
        }
        asked
    }

    #[test]
    fn single_questions() {
        for (dimension, yes, no) in [
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
            for value in yes {
                assert!(SESSION.has(&asked(dimension, value)), "{dimension} {value}");
            }
            for value in no {
                assert!(!SESSION.has(&asked(dimension, value)), "{dimension} {value}");
                assert!(!Authorization::default().has(&asked(dimension, value)));
            }
        }
    }

    #[test]
    fn b7_every_dimension_must_pass_and_unknown_is_no() {
        let states = [None, Some(false), Some(true)];
        let mut count = 0;
        for role in states {
            for permission in states {
                for feature in states {
                    for plan in states {
                        for fresh in states {
                            let demand = |yes: bool| Reverification {
                                factors: Factors::First,
                                after_minutes: if yes { 6 } else { 5 },
                            };
                            let question = Asked {
                                role: role.map(|yes| if yes { "admin" } else { "other" }),
                                permission: permission.map(|yes| if yes { "a:read" } else { "other" }),
                                feature: feature.map(|yes| if yes { "chat" } else { "other" }),
                                plan: plan.map(|yes| if yes { "pro" } else { "other" }),
                                reverification: fresh.map(demand),
                            };
                            let all = [role, permission, feature, plan, fresh];
                            let right = all.iter().any(Option::is_some) && !all.contains(&Some(false));
                            assert_eq!(SESSION.has(&question), right, "{question:?}");
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(count, 243);
    }

    #[test]
    fn reverification_falls_back_to_the_factor_that_is_enrolled() {
        let holds = |factors, after_minutes, ages| Reverification { factors, after_minutes }.holds(ages);
        assert!(holds(Factors::Second, 10, [5, -1]));
        assert!(holds(Factors::Both, 10, [5, -1]));
        assert!(!holds(Factors::Both, 10, [5, 11]));
        assert!(!holds(Factors::Second, 10, [5, 11]));
        assert!(!holds(Factors::First, 5, [5, 0]));
        for factors in [Factors::First, Factors::Second, Factors::Both] {
            assert!(!holds(factors, 5, [-1, -1]));
            assert!(!holds(factors, 10, [-1, 3]), "a second factor alone is none");
            assert!(!holds(factors, 10, [-2, 3]) && !holds(factors, 10, [3, -2]));
        }
        assert!(holds(Factors::First, 10, [5, 11]) && !holds(Factors::First, 10, [11, 5]));
        assert!(!holds(Factors::First, 0, [0, 0]));
        assert_eq!(Reverification::preset("lax").unwrap().after_minutes, 1440);
        assert_eq!(Reverification::preset("loose"), None);
    }
}
