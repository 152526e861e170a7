//! A cluster and a sentinel, each with one server.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::common::TempDir;
use crate::server::Server;
use crate::{World, ask, wait_for};

fn works(world: &World, url: &str) {
    let build = || {
        world.client(|config| {
            config.set("shared_cache", url).unwrap();
            // Operations may take longer then: other tests run at the same time.
            config.shared_cache_required = true;
        })
    };
    let (a, b) = (build(), build());
    b.poll(Duration::ZERO).unwrap();
    let token = world.token("user_0", "sess_1");
    for client in [&a, &b] {
        assert_eq!(ask(client, &token), "in verified");
    }
    assert_eq!(world.user_calls(), 1);
    a.revoke_session("sess_1");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    assert_eq!(ask(&b, &token), "out session-revoked");
    for stats in [a.stats().shared_cache, b.stats().shared_cache] {
        assert_eq!((stats.errors, stats.rejected, stats.state as i32), (0, 0, 1));
    }
}

#[test]
fn cluster_is_used() {
    let world = World::new();
    world.users(1);
    let server = Server::with(|_, port| vec![format!("--port {port} --cluster-enabled yes")]);
    assert_eq!(server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    wait_for("the cluster is ready", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    works(&world, &format!("redis+cluster://127.0.0.1:{}", server.port));
}

#[test]
fn every_seed_of_a_cluster_is_tried() {
    let world = World::new();
    world.users(1);
    let server = Server::with(|_, port| vec![format!("--port {port} --cluster-enabled yes")]);
    assert_eq!(server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    wait_for("the cluster is ready", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    // Ports that nothing else gets meanwhile; connections to them end at once.
    let gone = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    for listener in &gone {
        let listener = listener.try_clone().unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    }
    let ports = gone.each_ref().map(|listener| listener.local_addr().unwrap().port());
    let seeds: Vec<_> = ports.iter().chain([&server.port]).map(|port| format!("127.0.0.1:{port}")).collect();
    let client =
        world.client(|config| config.set("shared_cache", &format!("redis+cluster://{}", seeds.join(","))).unwrap());
    wait_for("the last one is used", || client.poll(Duration::ZERO).is_ok());
    assert_eq!(ask(&client, &world.token("user_0", "sess_1")), "in verified");
    assert_ne!(server.cli(&["DBSIZE"]), "0");
}

#[test]
fn sentinel_that_does_not_reply_leaves_time_for_the_next() {
    let world = World::new();
    world.users(1);
    let sentinel = start_sentinel(&world);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    works(&world, &format!("redis+sentinel://127.0.0.1:{silent_port},127.0.0.1:{}/mymaster", sentinel.port));
}

#[test]
fn redirections_of_a_cluster_are_followed() {
    let world = World::new();
    world.users(1);
    let servers: Vec<_> =
        (0..2).map(|_| Server::with(|_, port| vec![format!("--port {port} --cluster-enabled yes")])).collect();
    for (server, slots) in servers.iter().zip([["0", "8191"], ["8192", "16383"]]) {
        assert_eq!(server.cli(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]), "OK");
    }
    servers[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &servers[1].port.to_string()]);
    for server in &servers {
        wait_for("the cluster is ready", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    }
    works(&world, &format!("redis+cluster://127.0.0.1:{}", servers[0].port));
    let keys: Vec<usize> = servers.iter().map(|server| server.cli(&["DBSIZE"]).parse().unwrap()).collect();
    assert!(keys.iter().sum::<usize>() >= 3, "{keys:?}");
}

/// The slot's key is at the target already, but the slot is not.
#[test]
fn stream_is_read_while_its_slot_migrates() {
    let world = World::new();
    world.users(1);
    let servers: Vec<_> =
        (0..2).map(|_| Server::with(|_, port| vec![format!("--port {port} --cluster-enabled yes")])).collect();
    assert_eq!(servers[0].cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    servers[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &servers[1].port.to_string()]);
    for server in &servers {
        wait_for("the cluster is ready", || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    }
    let client = || {
        world.client(|config| {
            config.set("shared_cache", &format!("redis+cluster://127.0.0.1:{}", servers[0].port)).unwrap();
            config.shared_cache_required = true;
        })
    };
    let (a, b) = (client(), client());
    b.poll(Duration::ZERO).unwrap();
    let keys = servers[0].cli(&["KEYS", "ck1:*:inv"]);
    let stream = keys.lines().next().unwrap();
    let slot = servers[0].cli(&["CLUSTER", "KEYSLOT", stream]);
    let ids = [0, 1].map(|at| servers[at].cli(&["CLUSTER", "MYID"]));
    assert_eq!(servers[1].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]), "OK");
    assert_eq!(servers[0].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]), "OK");
    let moved = servers[0].cli(&["MIGRATE", "127.0.0.1", &servers[1].port.to_string(), stream, "0", "1000"]);
    assert_eq!(moved, "OK");
    a.revoke_session("sess_1");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    assert_eq!((a.stats().shared_cache.errors, b.stats().shared_cache.errors), (0, 0));
}

fn start_sentinel(world: &World) -> Server {
    let sentinel = Server::with(|dir: &TempDir, port| {
        let file = dir.join("sentinel.conf");
        let monitor = format!("sentinel monitor mymaster 127.0.0.1 {} 1", world.server.port);
        std::fs::write(&file, format!("port {port}\n{monitor}\n")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        vec![format!("{} --sentinel", file.display())]
    });
    let begun = Instant::now();
    wait_for("the sentinel knows it", || {
        sentinel.cli(&["SENTINEL", "get-master-addr-by-name", "mymaster"]).contains(&world.server.port.to_string())
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    sentinel
}

#[test]
fn sentinel_names_the_master() {
    let world = World::new();
    world.users(1);
    let sentinel = start_sentinel(&world);
    works(&world, &format!("redis+sentinel://127.0.0.1:{}/mymaster", sentinel.port));
    let mut config = world.config();
    config.set("shared_cache", &format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port)).unwrap();
    let error = world.build(config).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("shared_cache: no sentinel knows a master of this name"), "{error}");
}
