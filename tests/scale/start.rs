//! What is refused when a client is created, with the setting named.

use clerk_auth::internals::Config;
use clerk_sim::{Leaf, server_pem};

use crate::server::Server;
use crate::{World, ask};

fn error(world: &World, tune: impl FnOnce(&mut Config)) -> String {
    let mut config = world.config();
    tune(&mut config);
    world.build(config).map(drop).unwrap_err().to_string()
}

fn with_url(url: &str) -> impl FnOnce(&mut Config) {
    move |config| config.set("shared_cache", url).unwrap()
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let world = World::new();
    for url in ["http://127.0.0.1", "redis://", "127.0.0.1:6379", "redis://127.0.0.1/x", "memcached://127.0.0.1"] {
        assert!(error(&world, with_url(url)).starts_with("shared_cache: "), "{url}");
    }
    let short = error(&world, |config| config.set("shared_cache_secret", "short").unwrap());
    assert!(short.starts_with("shared_cache_secret: must be at least 32"), "{short}");
    let three = ["a".repeat(32), "b".repeat(32), "c".repeat(32)].join(",");
    let three = error(&world, |config| config.set("shared_cache_secret", &three).unwrap());
    assert!(three.starts_with("shared_cache_secret: at most two"), "{three}");
    let instance = error(&world, |config| config.set("shared_cache_secret", &"a".repeat(32)).unwrap());
    assert!(instance.starts_with("publishable_key: needed with `shared_cache_secret`"), "{instance}");
    let ca = error(&world, |config| config.set("shared_cache_ca_pem", "x").unwrap());
    assert!(ca.starts_with("shared_cache_ca_pem: "), "{ca}");
    let required = error(&world, |config| {
        config.shared_cache = None;
        config.shared_cache_required = true;
    });
    assert!(required.starts_with("shared_cache_required: "), "{required}");
    let database = error(&world, with_url(&format!("{}/99", world.server.url())));
    assert!(database.starts_with("shared_cache: ") && database.contains("database"), "{database}");
    let key = error(&world, |config| {
        config.secret_key = None;
        config.user_mode = Some(clerk_auth::UserMode::Claims);
        config.jwt_key = crate::common::pem(&world.sim);
    });
    assert!(key.starts_with("shared_cache_secret: needed"), "{key}");
}

#[test]
fn engine_that_asks_for_a_password_is_refused_without_it() {
    let world = World::new();
    let server = Server::with(|_, port| vec![format!("--port {port} --requirepass s3cret")]);
    let at = |userinfo: &str| format!("redis://{userinfo}127.0.0.1:{}", server.port);
    let missing = error(&world, with_url(&at("")));
    assert!(missing.starts_with("shared_cache: the engine asks for a password"), "{missing}");
    let wrong = error(&world, with_url(&at(":wrong@")));
    assert!(wrong.starts_with("shared_cache: ") && wrong.contains("password") && !wrong.contains("wrong@"), "{wrong}");
    for userinfo in [":s3cret@", "default:s3cret@"] {
        let client = world.client(with_url(&at(userinfo)));
        assert_eq!(client.stats().shared_cache.state as i32, 1);
    }
    // One that needs none rejects none either, unless it is a user's.
    let needless = error(&world, with_url(&format!("redis://app:x@127.0.0.1:{}", world.server.port)));
    assert!(needless.starts_with("shared_cache: ") && needless.contains("password"), "{needless}");
}

#[test]
fn user_without_rights_is_refused_and_the_documented_rights_suffice() {
    let world = World::new();
    world.users(1);
    let rights = "~ck1:* +ping +time +get +mget +set +del +xadd +xrange +xrevrange +xread";
    let server = Server::with(|_, port| vec![format!("--port {port}")]);
    let set = |name: &str, rules: &str| {
        let mut arguments = vec!["ACL", "SETUSER", name, "on", ">pw"];
        arguments.extend(rules.split(' '));
        assert_eq!(server.cli(&arguments), "OK");
    };
    set("full", rights);
    // The clocks are not compared then.
    set("timeless", &rights.replace("+time ", ""));
    set("reader", "~ck1:* +ping +get +mget");
    set("elsewhere", &rights.replace("ck1", "x"));
    for right in ["xadd", "xread", "xrange", "xrevrange", "set", "mget", "del"] {
        set(&format!("no-{right}"), &rights.replace(&format!(" +{right}"), ""));
    }
    let at = |user: &str| format!("redis://{user}:pw@127.0.0.1:{}", server.port);
    for user in
        ["reader", "elsewhere", "no-xadd", "no-xread", "no-xrange", "no-xrevrange", "no-set", "no-mget", "no-del"]
    {
        let refused = error(&world, with_url(&at(user)));
        assert!(refused.starts_with("shared_cache: the user lacks a right"), "{user}: {refused}");
    }
    let clients = ["full", "timeless"].map(|user| {
        world.client(|config| {
            config.set("shared_cache", &at(user)).unwrap();
            config.shared_cache_required = true;
        })
    });
    for client in &clients {
        assert_eq!(ask(client, &world.token("user_0", "sess_1")), "in verified");
        client.poll(std::time::Duration::ZERO).unwrap();
    }
    clients[0].revoke_user("user_0");
    assert_eq!(clients[1].poll(std::time::Duration::from_secs(5)).unwrap(), 1);
    assert_eq!(clients.iter().map(|client| client.stats().shared_cache.errors).sum::<u64>(), 0);
}

/// Starts a server with TLS; returns its authority.
fn tls_server(leaf: Leaf) -> (Server, String) {
    let pem = server_pem(leaf).unwrap();
    let server = Server::with(|dir, port| {
        let path = |name: &str| dir.join(name).display().to_string();
        for (name, content) in [("cert.pem", &pem.certificate), ("key.pem", &pem.key), ("ca.pem", &pem.authority)] {
            std::fs::write(dir.join(name), content).unwrap();
        }
        let files = format!("--tls-cert-file {} --tls-key-file {}", path("cert.pem"), path("key.pem"));
        let port = format!("--port 0 --tls-port {port} --tls-auth-clients no");
        vec![port, files, format!("--tls-ca-cert-file {}", path("ca.pem"))]
    });
    (server, pem.authority)
}

#[test]
fn certificate_is_verified() {
    let world = World::new();
    world.users(1);
    let (server, authority) = tls_server(Leaf::Ok);
    let url = format!("rediss://localhost:{}", server.port);
    let trusted = |config: &mut Config| {
        config.set("shared_cache", &url).unwrap();
        config.set("shared_cache_ca_pem", &authority).unwrap();
        // Operations may take longer then: other tests run at the same time.
        config.shared_cache_required = true;
    };
    for _ in 0..2 {
        let client = world.client(trusted);
        assert_eq!(ask(&client, &world.token("user_0", "sess_1")), "in verified");
        assert_eq!(client.stats().shared_cache.errors, 0);
    }
    assert_eq!(world.user_calls(), 1);
    let unknown = error(&world, with_url(&url));
    assert!(unknown.starts_with("shared_cache: tls: ") && unknown.contains("shared_cache_ca_pem"), "{unknown}");
    for (leaf, why) in [(Leaf::Expired, "expired"), (Leaf::WrongHost, "another host")] {
        let (server, authority) = tls_server(leaf);
        let refused = error(&world, |config| {
            config.set("shared_cache", &format!("rediss://127.0.0.1:{}", server.port)).unwrap();
            config.set("shared_cache_ca_pem", &authority).unwrap();
        });
        assert!(refused.starts_with("shared_cache: tls: ") && refused.contains(why), "{leaf:?}: {refused}");
    }
}

#[test]
fn tls_is_not_taken_for_plain_text_or_the_reverse() {
    let world = World::new();
    world.users(1);
    // One waits for the end of a line, the other closes the connection: both may be any other failure.
    let (server, _) = tls_server(Leaf::Ok);
    for url in [format!("rediss://127.0.0.1:{}", world.server.port), format!("redis://127.0.0.1:{}", server.port)] {
        let client = world.client(with_url(&url));
        assert_eq!(ask(&client, &world.token("user_0", "sess_1")), "in verified");
        assert_eq!(client.stats().shared_cache.state as i32, 2);
    }
}

#[test]
fn engine_that_cannot_be_reached_is_an_error_only_if_required() {
    let world = World::new();
    world.users(1);
    let port = crate::server::free_port();
    for host in ["127.0.0.1", "no-such-host.invalid"] {
        let url = format!("redis://{host}:{port}");
        let client = world.client(with_url(&url));
        assert_eq!(ask(&client, &world.token("user_0", "sess_1")), "in verified");
        let required = error(&world, |config| {
            config.set("shared_cache", &url).unwrap();
            config.shared_cache_required = true;
        });
        assert!(required.starts_with("shared_cache_required: "), "{required}");
    }
    assert!(world.logged("the shared cache cannot be used") >= 2);
}

#[test]
fn nothing_readable_is_stored() {
    let world = World::new();
    world.sim.set_users([
        serde_json::json!({"id": "user_0", "first_name": "Findable", "email_addresses": ["findable@example.com"],
        "primary_email_address_id": "idn_0001"}),
    ]);
    let client = world.client(|_| ());
    assert_eq!(ask(&client, &world.token("user_0", "sess_0")), "in verified");
    client.revoke_session("sess_0");
    let keys = world.server.cli(&["KEYS", "*"]);
    assert!(keys.lines().count() >= 3, "{keys}");
    for key in keys.lines() {
        assert!(
            key.starts_with("ck1:") && key.len() <= 96 && !key.contains("user_") && !key.contains("sess_"),
            "{key}"
        );
        let stored = match key.ends_with(":inv") {
            true => world.server.raw(&[b"XRANGE", key.as_bytes(), b"-", b"+"]),
            false => world.server.raw(&[b"GET", key.as_bytes()]),
        };
        let text = String::from_utf8_lossy(&stored).into_owned();
        for word in ["user_0", "sess_0", "indable", "revoked", "{\""] {
            assert!(!text.contains(word), "{key}: {word}");
        }
        if !key.ends_with(":inv") {
            let ttl: i64 = world.server.cli(&["PTTL", key]).parse().unwrap();
            assert!(ttl > 0, "{key} does not expire");
        }
    }
}
