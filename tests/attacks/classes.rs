//! What a token says is read by its class: claims of another class are custom claims, and nothing else.

use clerk_auth::Attribute;
use clerk_auth::AuthResult;
use clerk_auth::TokenKind;
use clerk_sim::Sim;

use super::common::{Fixture, NOW_S, bearer, pem};
use super::{HEADER, pinned, signed};

const OAUTH: &str = r#"{"alg":"RS256","kid":"ins_2corpusKeyOne000000000000001","typ":"at+jwt"}"#;
const M2M: &str = r#"{"alg":"RS256","kid":"ins_2corpusKeyOne000000000000001","typ":"JWT","cat":"cl_B7d4PD333AAA"}"#;

fn accepting(kinds: &[TokenKind], machine: Option<&str>) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.secret_key = None;
        config.accepts_token = kinds.to_vec();
        config.expected_machine_id = machine.map(Into::into);
    })
}

fn token(header: &str, subject: &str, extra: &str) -> String {
    signed("k1", header, &format!(r#"{{"sub":"{subject}","exp":{}{extra}}}"#, NOW_S + 60))
}

fn attribute(result: &AuthResult, which: Attribute) -> Option<String> {
    result.identity().expect("signed in").get(which).map(Into::into)
}

#[test]
fn m2m_jwt_is_scoped_by_scopes_else_aud_alone() {
    let fixture = accepting(TokenKind::ALL, Some("mch_here"));
    for (claims, outcome) in [
        (r#","scopes":"mch_other mch_here""#, "in verified"),
        (r#","scopes":["mch_other","mch_here"]"#, "in verified"),
        (r#","aud":["mch_here"]"#, "in verified"),
        (r#","aud":"mch_here","scp":["x"],"scope":"y""#, "in verified"),
        (r#","scp":["mch_here"]"#, "out token-invalid-audience"),
        (r#","scp":"mch_here""#, "out token-invalid-audience"),
        (r#","scope":"mch_here""#, "out token-invalid-audience"),
        (r#","scp":["mch_here"],"scope":"mch_here","scopes":"mch_other""#, "out token-invalid-audience"),
        (r#","scopes":"mch_other","aud":["mch_here"]"#, "out token-invalid-audience"),
        (r#","scopes":"","aud":["mch_here"]"#, "out token-invalid-audience"),
        (r#","scopes":5,"aud":["mch_here"]"#, "out token-invalid-audience"),
        (r#","scopes":["mch_here",5]"#, "out token-invalid-audience"),
        (r#","scopes":{"mch_here":1}"#, "out token-invalid-audience"),
        (r#","claims":{"scopes":["mch_here"]}"#, "out token-invalid-audience"),
        ("", "out token-invalid-audience"),
    ] {
        assert_eq!(fixture.ask(&token(M2M, "mch_caller", claims)), outcome, "{claims}");
    }
}

#[test]
fn oauth_jwt_is_scoped_by_scp_else_scope_alone() {
    let fixture = accepting(TokenKind::ALL, None);
    for (claims, scopes) in [
        (r#","scp":["a","b"],"scope":"c","scopes":"d""#, "a b"),
        (r#","scope":"a b","scopes":"d","aud":["e"]"#, "a b"),
        (r#","scopes":"d","aud":["e"]"#, ""),
        (r#","scp":7,"scope":"c""#, ""),
    ] {
        let result = bearer(&fixture.client, &token(OAUTH, "user_1", claims));
        assert_eq!(attribute(&result, Attribute::Scopes).as_deref(), Some(scopes), "{claims}");
    }
}

#[test]
fn machine_jwt_has_no_session_organization_or_actor() {
    let fixture = accepting(TokenKind::ALL, None);
    let layouts = [
        r#","org_id":"org_1","org_slug":"acme","org_role":"org:admin","org_permissions":["org:a:b"]"#,
        r#","v":2,"fea":"o:a,u:b","pla":"o:gold","o":{"id":"org_1","slg":"acme","rol":"admin","per":"b","fpm":"1"}"#,
    ];
    for organization in layouts {
        let claims = format!(
            r#"{organization},"sid":"sess_1","sts":"active","act":{{"sub":"user_9"}},"fva":[0,0],"fea":"o:a","pla":"u:b""#
        )
        .replacen(r#","fea":"o:a","pla":"u:b""#, "", usize::from(organization.contains("fea")));
        for (header, subject) in [(OAUTH, "user_1"), (M2M, "mch_1")] {
            let result = bearer(&fixture.client, &token(header, subject, &claims));
            for which in [
                Attribute::SessionId,
                Attribute::SessionStatus,
                Attribute::OrgId,
                Attribute::OrgSlug,
                Attribute::OrgRole,
                Attribute::OrgPermissions,
                Attribute::Features,
                Attribute::Plans,
                Attribute::Actor,
            ] {
                assert_eq!(attribute(&result, which), None, "{which:?} {claims}");
            }
            assert_eq!(result.identity().unwrap().factor_ages(), None);
            // They are the token's own claims, readable as such.
            assert!(attribute(&result, Attribute::Claims).unwrap().contains("org_1"));
        }
        let result = bearer(&fixture.client, &token(HEADER, "user_1", &claims));
        assert_eq!(attribute(&result, Attribute::OrgId).as_deref(), Some("org_1"));
        assert_eq!(attribute(&result, Attribute::Actor).as_deref(), Some("user_9"));
    }
    // Neither do values that no session may have.
    for claims in [r#","sts":"pending""#, r#","sts":5"#, r#","sid":5"#] {
        assert_eq!(fixture.ask(&token(OAUTH, "user_1", claims)), "in verified", "{claims}");
        assert_eq!(fixture.ask(&token(M2M, "mch_1", claims)), "in verified", "{claims}");
        assert!(fixture.ask(&token(HEADER, "user_1", claims)).starts_with("out "), "{claims}");
    }
}

#[test]
fn invalidated_session_or_organization_spares_machine_tokens() {
    let fixture = accepting(TokenKind::ALL, None);
    let tokens =
        [token(OAUTH, "user_1", r#","sid":"sess_1","org_id":"org_1""#), token(M2M, "mch_1", r#","sid":"sess_1""#)];
    for token in &tokens {
        assert_eq!(fixture.ask(token), "in verified");
    }
    fixture.client.invalidate_session("sess_1");
    for token in &tokens {
        assert_eq!(fixture.ask(token), "in cache");
    }
}

#[test]
fn duplicate_member_at_any_depth_is_rejected() {
    let fixture = pinned();
    for claims in [
        r#","x":{"a":1,"a":1}"#,
        r#","x":{"a":1,"\u0061":2}"#,
        r#","x":{"y":{"z":{"a":1,"b":2,"a":3}}}"#,
        r#","x":[1,[{"a":1,"a":2}]]"#,
        r#","metadata":{"role":"user","role":"admin"}"#,
        r#","act":{"sub":"user_2","x":{"a":1,"a":1}}"#,
        r#","v":2,"o":{"id":"org_1","x":[{"a":1,"a":1}]}"#,
        r#","aud":[{"a":1,"a":1}]"#,
        r#","sid":{"a":1,"a":1}"#,
    ] {
        assert_eq!(fixture.ask(&token(HEADER, "user_1", claims)), "out token-invalid", "{claims}");
    }
    let header = HEADER.replace('}', r#","x":{"a":1,"a":1}}"#);
    assert_eq!(fixture.ask(&token(&header, "user_1", "")), "out token-invalid");
    for claims in [r#","x":{"a":1,"A":1,"b":{"a":1}},"y":{"a":1}"#, r#","x":[{"a":1},{"a":1}]"#] {
        assert_eq!(fixture.ask(&token(HEADER, "user_1", claims)), "in verified", "{claims}");
    }
}

#[test]
fn machine_subject_where_sessions_are_accepted_is_another_type() {
    let cat = |cat: &str| HEADER.replace('}', &format!(r#","cat":"{cat}"}}"#));
    let [session, template, ignored] = ["cl_B7d4PD111AAA", "cl_B7d4PD222AAA", "cl_I7d4PD111III"].map(cat);
    let sessions = accepting(&[TokenKind::SessionToken, TokenKind::OauthToken], None);
    let all = accepting(TokenKind::ALL, None);
    for (header, where_all_are) in [
        (HEADER, "in verified"),
        (ignored.as_str(), "in verified"),
        (M2M, "in verified"),
        (session.as_str(), "out token-invalid"),
        (template.as_str(), "out token-type-not-supported"),
    ] {
        let token = token(header, "mch_1", "");
        assert_eq!(sessions.ask(&token), "out token-type-not-supported", "{header}");
        assert_eq!(all.ask(&token), where_all_are, "{header}");
    }
}
