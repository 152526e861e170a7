use super::*;

fn at(seconds: i64) -> Now {
    Now { wall_ms: 1_800_000_000_000 + seconds * 1000, mono_ms: seconds * 1000 }
}

fn find(revocations: &Revocations, sid: &str, sub: &str, iat: Option<i64>, now: Now) -> Option<Reason> {
    revocations.find(Some(sub), Some(sid), iat.map(|at| (1_800_000_000 + at) * 1000), now)
}

/// Records an event of that time.
fn ban(revocations: &Revocations, id: &str, now: Now) {
    revocations.ban_user(id, now.wall_ms, now);
}

fn lift(revocations: &Revocations, id: &str, now: Now) {
    revocations.lift_ban(id, now.wall_ms, now);
}

/// Threat W3.
#[test]
fn million_revocations_are_bounded_and_none_is_lost() {
    let revocations = Revocations::new(1000, 3_595_000, 5000);
    for i in 0..1_000_000_i64 {
        revocations.revoke_session(&format!("sess_{i}"), at(i / 1000));
    }
    let table = revocations.sessions.lock(LOOKUP_TIMEOUT).unwrap();
    assert_eq!((table.order.len(), table.entries.len()), (4000, 4000));
    assert!(table.order.capacity() <= 8192 && table.entries.capacity() <= 16_384);
    drop(table);
    let now = at(1000);
    // A token of each session, issued at the last moment: when the session ended.
    for i in (0..1_000_000_i64).step_by(97) {
        let found = find(&revocations, &format!("sess_{i}"), "user_1", Some(i / 1000), now);
        assert_eq!(found, Some(Reason::SessionRevoked), "{i}");
    }
    assert_eq!(find(&revocations, "sess_new", "user_1", None, now), Some(Reason::SessionRevoked));
    // The newest evicted one was revoked at 995 s; Clerk's clock may be five seconds ahead.
    assert_eq!(find(&revocations, "sess_new", "user_1", Some(1000), now), Some(Reason::SessionRevoked));
    assert_eq!(find(&revocations, "sess_new", "user_1", Some(1001), now), None);
    // Machines have neither sessions nor users.
    assert_eq!(revocations.find(None, None, None, now), None);
}

#[test]
fn expired_entries_make_room_without_an_eviction() {
    let revocations = Revocations::new(1, 86_400_000, 0);
    revocations.revoke_user("user_1", Reason::UserNotFound, at(0));
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(0), at(86_399)), Some(Reason::UserNotFound));
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(0), at(86_400)), None);
    revocations.revoke_user("user_2", Reason::UserNotFound, at(86_400));
    assert_eq!(find(&revocations, "sess_2", "user_3", Some(0), at(86_400)), None);
    revocations.revoke_user("user_4", Reason::UserNotFound, at(86_401));
    assert_eq!(find(&revocations, "sess_2", "user_3", Some(0), at(86_401)), Some(Reason::SessionRevoked));
    assert_eq!(find(&revocations, "sess_4", "user_4", Some(86_402), at(86_402)), Some(Reason::UserNotFound));
}

#[test]
fn ban_is_removed_and_deletion_is_not() {
    let revocations = Revocations::new(10, 3_600_000, 0);
    ban(&revocations, "user_1", at(0));
    revocations.revoke_user("user_2", Reason::UserNotFound, at(0));
    let reasons = || ["user_1", "user_2"].map(|id| find(&revocations, "sess_1", id, Some(0), at(1)));
    assert_eq!(reasons(), [Some(Reason::UserInactive), Some(Reason::UserNotFound)]);
    ["user_1", "user_2"].iter().for_each(|id| lift(&revocations, id, at(1)));
    assert_eq!(reasons(), [None, Some(Reason::UserNotFound)]);
}

/// Sends the revocations of `from` to `to`, as JSON.
fn send(from: &Revocations, to: &Revocations, now: Now) {
    to.merge(&Export::parse(&from.export(now).unwrap().to_json()).unwrap(), now);
}

#[test]
fn import_is_a_union_that_keeps_each_expiry() {
    let [a, b] = [0, 1].map(|_| Revocations::new(10, 3_600_000, 0));
    a.revoke_session("sess_1", at(0));
    b.revoke_user("user_2", Reason::UserNotFound, at(600));
    for _ in 0..100 {
        send(&a, &b, at(1200));
        send(&b, &a, at(1200));
    }
    for one in [&a, &b] {
        assert_eq!(find(one, "sess_1", "user_1", None, at(3599)), Some(Reason::SessionRevoked));
        assert_eq!(find(one, "sess_1", "user_1", None, at(3600)), None);
        assert_eq!(find(one, "sess_2", "user_2", None, at(4199)), Some(Reason::UserNotFound));
        assert_eq!(find(one, "sess_2", "user_2", None, at(4200)), None);
        assert_eq!(one.sessions.lock(LOOKUP_TIMEOUT).unwrap().order.len(), 1);
    }
}

#[test]
fn import_prefers_deletion_and_the_newer_of_ban_and_lift() {
    let [a, b] = [0, 1].map(|_| Revocations::new(10, 3_600_000, 0));
    ban(&a, "user_1", at(0));
    send(&a, &b, at(1));
    assert_eq!(find(&b, "sess_1", "user_1", None, at(1)), Some(Reason::UserInactive));
    lift(&a, "user_1", at(2));
    send(&b, &a, at(3));
    assert_eq!(find(&a, "sess_1", "user_1", None, at(3)), None);
    send(&a, &b, at(3));
    assert_eq!(find(&b, "sess_1", "user_1", None, at(3)), None);
    ban(&b, "user_1", at(4));
    send(&b, &a, at(5));
    assert_eq!(find(&a, "sess_1", "user_1", None, at(5)), Some(Reason::UserInactive));
    a.revoke_user("user_1", Reason::UserNotFound, at(6));
    lift(&b, "user_1", at(7));
    send(&a, &b, at(8));
    send(&b, &a, at(8));
    for one in [&a, &b] {
        ban(one, "user_1", at(9));
        lift(one, "user_1", at(9));
        assert_eq!(find(one, "sess_1", "user_1", None, at(9)), Some(Reason::UserNotFound));
    }
}

#[test]
fn versions_of_the_user_order_a_ban_and_its_end_and_no_clock() {
    let now = at(100);
    let table = || Revocations::new(10, 3_600_000, 0);
    let is_banned = |one: &Revocations| find(one, "sess_1", "user_1", None, now).is_some();
    for (banned, lifted, expected) in [(5, 4, true), (5, 5, true), (5, 6, false)] {
        // By events, in both orders of arrival, and by imports.
        let (own, importing, reverse) = (table(), table(), table());
        own.ban_user("user_1", banned, now);
        own.lift_ban("user_1", lifted, now);
        let report = |revocation, revoked_at_ms| {
            Some(TimedRevocation { revocation, revoked_at_ms, expires_at_ms: now.wall_ms + 3_600_000 })
        };
        let reports = [report(Revocation::Banned, banned), report(Revocation::Lifted, lifted)];
        let _ = reverse.import(false, "user_1", report(Revocation::Banned, 1).unwrap(), now);
        for (one, reports) in [(&importing, reports), (&reverse, [reports[1], reports[0]])] {
            for report in reports.into_iter().flatten() {
                let _ = one.import(false, "user_1", report, now);
            }
        }
        assert_eq!([&own, &importing, &reverse].map(is_banned), [expected; 3], "{banned} {lifted}");
    }
    // A newer report of a ban makes it newer, a late one does not make it older, and a late end does not make it one's own.
    let (importing, other) = (table(), table());
    for version in [5, 7, 6] {
        other.ban_user("user_1", version, now);
        send(&other, &importing, now);
    }
    for (version, expected) in [(6, true), (7, true), (8, false)] {
        importing.lift_ban("user_1", version, now);
        assert_eq!(is_banned(&importing), expected, "{version}");
    }
}

#[test]
fn late_ban_makes_the_end_of_a_ban_no_newer() {
    let (now, table) = (at(100), Revocations::new(10, 3_600_000, 0));
    let report = |revocation, revoked_at_ms| TimedRevocation { revocation, revoked_at_ms, expires_at_ms: i64::MAX };
    let is_banned = || find(&table, "sess_1", "user_1", None, now).is_some();
    let _ = table.import(false, "user_1", report(Revocation::Banned, 1), now);
    let _ = table.import(false, "user_1", report(Revocation::Lifted, 10), now);
    table.ban_user("user_1", 5, now);
    assert!(!is_banned());
    table.ban_user("user_1", 20, now);
    assert!(is_banned());
}

#[test]
fn end_of_a_ban_that_is_not_known_here_takes_no_place() {
    let (revocations, now) = (Revocations::new(1, 3_600_000, 0), at(0));
    let lifted = |revoked_at_ms| TimedRevocation {
        revocation: Revocation::Lifted,
        revoked_at_ms,
        expires_at_ms: now.wall_ms + 3_600_000,
    };
    revocations.revoke_user("user_1", Reason::UserNotFound, now);
    for i in 2..100 {
        let merged = revocations.import(false, &format!("user_{i}"), lifted(i), now);
        assert_eq!(merged, Merged { is_changed: false, is_evicting: false });
    }
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(1), now), Some(Reason::UserNotFound));
    assert_eq!(find(&revocations, "sess_2", "user_2", Some(-1), now), None);
}

#[test]
fn evicted_ban_of_the_future_rejects_no_later_token() {
    let revocations = Revocations::new(1, 3_600_000, 0);
    revocations.ban_user("user_1", i64::MAX, at(0));
    revocations.revoke_user("user_2", Reason::UserNotFound, at(1));
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(1), at(2)), Some(Reason::SessionRevoked));
    assert_eq!(find(&revocations, "sess_1", "user_3", Some(2), at(2)), None);
}

#[test]
fn import_lifts_imported_bans_only() {
    let [own, other] = [0, 1].map(|_| Revocations::new(10, 3_600_000, 0));
    let banned = |one: &Revocations, now| find(one, "sess_1", "user_1", None, now) == Some(Reason::UserInactive);
    let from = |revocation: &str, revoked_ms: i64, now: Now| {
        let end = now.wall_ms + 3_600_000;
        let json = format!(
            r#"{{"version":1,"sessions":{{"evicted_at_ms":null,"entries":[]}},"users":{{"evicted_at_ms":null,"entries":
            [{{"id":"user_1","revocation":"{revocation}","revoked_at_ms":{revoked_ms},"expires_at_ms":{end}}}]}}}}"#
        );
        Export::parse(&json).unwrap()
    };
    ban(&own, "user_1", at(0));
    // Neither at once, nor after a later report of the same ban.
    for (revocation, seconds) in [("lifted", 8), ("banned", 9), ("lifted", 10)] {
        own.merge(&from(revocation, at(seconds).wall_ms, at(10)), at(10));
        assert!(banned(&own, at(10)));
    }
    // An end from the future does not hide a later ban.
    other.merge(&from("lifted", i64::MAX, at(10)), at(10));
    other.merge(&from("banned", at(11).wall_ms, at(12)), at(12));
    assert!(banned(&other, at(12)));
    other.merge(&from("lifted", at(13).wall_ms, at(14)), at(14));
    assert!(!banned(&other, at(14)));
}

#[test]
fn import_carries_what_was_evicted() {
    let (a, b) = (Revocations::new(1, 3_600_000, 0), Revocations::new(10, 3_600_000, 0));
    a.revoke_user("user_1", Reason::UserNotFound, at(0));
    a.revoke_user("user_2", Reason::UserNotFound, at(10));
    send(&a, &b, at(20));
    assert_eq!(find(&b, "sess_1", "user_1", Some(0), at(20)), Some(Reason::SessionRevoked));
    assert_eq!(find(&b, "sess_1", "user_3", Some(11), at(20)), None);
}

#[test]
fn eviction_rejects_until_the_evicted_entries_would_have_expired() {
    let (a, b) = (Revocations::new(1, 3_600_000, 0), Revocations::new(10, 3_600_000, 0));
    a.revoke_user("user_1", Reason::UserNotFound, at(0));
    a.revoke_user("user_2", Reason::UserNotFound, at(10));
    for seconds in (20..3_600).step_by(60) {
        send(&a, &b, at(seconds));
        send(&b, &a, at(seconds));
    }
    for one in [&a, &b] {
        // An opaque token has no time of issue.
        assert_eq!(find(one, "sess_1", "user_3", None, at(3_599)), Some(Reason::SessionRevoked));
        assert_eq!(find(one, "sess_1", "user_3", None, at(3_600)), None);
        assert_eq!(one.export(at(3_600)).unwrap().users.evicted_at_ms, None);
    }
    // Later ones count by themselves.
    a.revoke_user("user_4", Reason::UserNotFound, at(3_605));
    assert_eq!(find(&a, "sess_1", "user_3", Some(10), at(3_605)), Some(Reason::SessionRevoked));
    assert_eq!(find(&a, "sess_1", "user_3", Some(10), at(3_610)), None);
}

#[test]
fn revocations_of_one_user_evict_no_other() {
    let revocations = Revocations::new(2, 3_600_000, 0);
    revocations.revoke_user("user_1", Reason::UserNotFound, at(0));
    for seconds in 0..1000 {
        revocations.revoke_user("user_2", Reason::UserNotFound, at(seconds / 2));
    }
    assert!(revocations.users.lock(LOOKUP_TIMEOUT).unwrap().order.len() <= 5);
    assert_eq!(find(&revocations, "sess_1", "user_3", None, at(500)), None);
    assert_eq!(find(&revocations, "sess_1", "user_1", None, at(3_599)), Some(Reason::UserNotFound));
    assert_eq!(find(&revocations, "sess_1", "user_1", None, at(3_600)), None);
    assert_eq!(find(&revocations, "sess_1", "user_2", None, at(4_098)), Some(Reason::UserNotFound));
    assert_eq!(find(&revocations, "sess_1", "user_2", None, at(4_099)), None);
}

#[test]
fn imported_deletion_shortens_no_known_revocation() {
    let (a, b) = (Revocations::new(10, 3_600_000, 0), Revocations::new(10, 60_000, 0));
    a.revoke_user("user_1", Reason::SessionRevoked, at(0));
    b.revoke_user("user_1", Reason::UserNotFound, at(1));
    send(&b, &a, at(2));
    assert_eq!(find(&a, "sess_1", "user_1", Some(0), at(600)), Some(Reason::UserNotFound));
}

#[test]
fn own_end_of_a_ban_that_is_not_known_takes_no_place() {
    let revocations = Revocations::new(1, 3_600_000, 0);
    revocations.revoke_user("user_1", Reason::UserNotFound, at(0));
    lift(&revocations, "user_2", at(5));
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(2), at(6)), Some(Reason::UserNotFound));
    assert_eq!(find(&revocations, "sess_1", "user_3", Some(-1), at(6)), None);
}

#[test]
fn imported_ban_after_an_own_end_is_ended_by_an_import() {
    let revocations = Revocations::new(10, 3_600_000, 0);
    ban(&revocations, "user_1", at(0));
    lift(&revocations, "user_1", at(1));
    let import = |revocation, seconds| {
        let expires_at_ms = at(3_600).wall_ms;
        let timed = TimedRevocation { revocation, revoked_at_ms: at(seconds).wall_ms, expires_at_ms };
        revocations.import(false, "user_1", timed, at(4));
        find(&revocations, "sess_1", "user_1", None, at(4))
    };
    assert_eq!(import(Revocation::Banned, 2), Some(Reason::UserInactive));
    assert_eq!(import(Revocation::Lifted, 3), None);
}

#[test]
fn malformed_export_is_refused_as_a_whole() {
    let table = |entry: &str| {
        format!(
            r#"{{"version":1,"sessions":{{"evicted_at_ms":null,"entries":[]}},"users":{{"evicted_at_ms":null,"entries":[{entry}]}}}}"#
        )
    };
    let entry = r#"{"id":"user_1","revocation":"deleted","revoked_at_ms":1,"expires_at_ms":2}"#;
    assert!(Export::parse(&table(entry)).is_some() && Export::parse(&table("")).is_some());
    for (good, bad) in [
        ("user_1", "user_"),
        ("user_1", "sess_1"),
        ("user_1", "user_../x"),
        ("deleted", "x"),
        (":1,", ":1.5,"),
        (":2}", ":\"2\"}"),
        (":2}", ":2,\"x\":1}"),
    ] {
        assert!(Export::parse(&table(&entry.replacen(good, bad, 1))).is_none(), "{bad}");
    }
    // Arrays of the members are no objects.
    for (good, bad) in [
        (table(""), r#"[1,{"evicted_at_ms":null,"entries":[]},{"evicted_at_ms":null,"entries":[]}]"#.to_owned()),
        (table(""), table("").replacen(r#"{"evicted_at_ms":null,"entries":[]}"#, "[null,[]]", 1)),
        (table(entry), table(r#"["user_1","deleted",1,2]"#)),
    ] {
        assert!(Export::parse(&good).is_some() && Export::parse(&bad).is_none(), "{bad}");
    }
    for bad in ["", "{}", "null", "[]", &table(entry).replace("\"version\":1", "\"version\":2"), &(table(entry) + "x")]
    {
        assert!(Export::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn import_cannot_outlive_the_own_lifetime() {
    let (a, b) = (Revocations::new(10, 3_600_000, 0), Revocations::new(10, 60_000, 0));
    a.revoke_session("sess_1", at(0));
    send(&a, &b, at(0));
    assert_eq!(find(&b, "sess_1", "user_1", None, at(59)), Some(Reason::SessionRevoked));
    assert_eq!(find(&b, "sess_1", "user_1", None, at(60)), None);
}

#[test]
fn second_revocation_extends_the_first() {
    let revocations = Revocations::new(10, 3_600_000, 0);
    revocations.revoke_session("sess_1", at(0));
    revocations.revoke_session("sess_1", at(1800));
    revocations.revoke_session("sess_2", at(3600));
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(0), at(5399)), Some(Reason::SessionRevoked));
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(0), at(5400)), None);
}

#[test]
fn table_locked_across_fork_accepts_no_token() {
    let mut revocations = Revocations::new(10, 3_600_000, 0);
    revocations.sessions.pretend_forked();
    let held = revocations.sessions.lock(LOOKUP_TIMEOUT);
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(0), at(1)), Some(Reason::InternalError));
    drop(held);
    assert_eq!(find(&revocations, "sess_1", "user_1", Some(0), at(1)), None);
}
