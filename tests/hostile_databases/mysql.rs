//! MySQL servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::{MOST_SENT, PASSWORD, SLACK, flood, open, refusal, serve};

const LONGLONG: u8 = 8;
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

fn url(port: u16) -> String {
    url_of("127.0.0.1", port)
}

fn url_of(host: &str, port: u16) -> String {
    format!("mysql://app:{PASSWORD}@{host}:{port}/db?sslmode=disable&pool_size=1")
}

/// The definition of a column.
fn column(kind: u8) -> Vec<u8> {
    let names = [&b"\x03def"[..], &[0, 0, 0], b"\x01n", &[0]].concat();
    [&names[..], &[0x0c, 63, 0, 20, 0, 0, 0, kind, 0, 0, 0, 0, 0]].concat()
}

/// The server's end of a connection, and the number of the next packet.
struct Peer(TcpStream, u8);

impl Peer {
    fn read(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        self.0.read_exact(&mut header).ok()?;
        self.1 = header[3].wrapping_add(1);
        let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
        self.0.read_exact(&mut payload).ok().map(|()| payload)
    }

    fn send(&mut self, payload: &[u8]) {
        let [low, middle, high, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
        drop(self.0.write_all(&[&[low, middle, high, self.1][..], payload].concat()));
        self.1 = self.1.wrapping_add(1);
    }

    /// Sends the greeting of MySQL 8.0 with a plugin, and returns the client's answer.
    fn greet(&mut self, plugin: &str) -> Option<Vec<u8>> {
        let (low, high) = (0xa20f_u16.to_le_bytes(), 0x0008_u16.to_le_bytes());
        let head = [&b"\x0a8.0.36\0"[..], &[1, 0, 0, 0], b"12345678", &[0], &low, &[45, 2, 0], &high, &[21], &[0; 10]];
        self.send(&[&head.concat()[..], b"abcdefghijkl\0", plugin.as_bytes(), &[0]].concat());
        self.read()
    }

    fn accept(&mut self) {
        self.greet("mysql_native_password");
        self.send(OK);
    }

    fn rows(&mut self, kind: u8, row: &[u8]) {
        self.send(&[1]);
        for payload in [&column(kind)[..], EOF, row, EOF] {
            self.send(payload);
        }
    }

    /// Answers commands as a writable server with the tables of the library, until a statement is executed that was prepared.
    fn serve(&mut self) -> Option<()> {
        self.serve_as(b'0')
    }

    /// Does so with an answer to whether the server is read-only.
    fn serve_as(&mut self, is_read_only: u8) -> Option<()> {
        loop {
            let command = self.read()?;
            let sql = String::from_utf8_lossy(&command[1..]).into_owned();
            match command[0] {
                1 => return None,
                // Since MariaDB 12.0 the variable is a string, which is no number.
                3 if sql.contains("read_only AS SIGNED") => self.rows(LONGLONG, b"\x010"),
                3 if sql.contains("read_only") => self.rows(LONGLONG, &[1, is_read_only]),
                3 if sql.starts_with("SELECT") => self.rows(LONGLONG, b"\x011"),
                3 => self.send(OK),
                22 => self.send(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                23 => return Some(()),
                _ => {}
            }
        }
    }

    fn no_row(&mut self) {
        self.send(&[1]);
        [&column(LONGLONG)[..], EOF, EOF].iter().for_each(|payload| self.send(payload));
    }

    fn fail(&mut self, code: u16) {
        self.send(&[&[0xff][..], &code.to_le_bytes(), b"#HY000no"].concat());
    }
}

/// The URL of two hosts, of which the second can be written to.
fn url_of_two(first: u16) -> String {
    let second = serve(|stream| {
        let mut peer = Peer(stream, 0);
        peer.accept();
        while peer.serve().is_some() {
            peer.no_row();
        }
    });
    url_of(&format!("127.0.0.1:{first},127.0.0.1"), second)
}

#[test]
fn host_whose_read_only_is_a_word_is_a_replica() {
    let statements = Arc::new(AtomicUsize::new(0));
    let counter = statements.clone();
    let replica = serve(move |stream| {
        let mut peer = Peer(stream, 0);
        peer.accept();
        while peer.serve_as(b'1').is_some() {
            counter.fetch_add(1, Ordering::SeqCst);
            peer.no_row();
        }
    });
    let store = open(&url_of_two(replica)).unwrap();
    assert_eq!(store.find_by_key("1"), Ok(None));
    assert_eq!(statements.load(Ordering::SeqCst), 0, "the replica was used");
}

#[test]
fn host_that_is_up_but_refuses_statements_is_left() {
    for code in [1047, 1290, 1874, 1881, 3032, 3100] {
        let is_refusing = Arc::new(AtomicBool::new(false));
        let refuses = is_refusing.clone();
        let first = serve(move |stream| {
            let mut peer = Peer(stream, 0);
            peer.accept();
            while peer.serve().is_some() {
                match refuses.load(Ordering::SeqCst) {
                    true => peer.fail(code),
                    false => peer.no_row(),
                }
            }
        });
        let store = open(&url_of_two(first)).unwrap();
        assert_eq!(store.find_by_key("1"), Ok(None), "{code}");
        is_refusing.store(true, Ordering::SeqCst);
        for _ in 0..8 {
            assert_eq!(store.find_by_key("1"), Ok(None), "{code}");
        }
    }
}

#[test]
fn statement_that_the_group_rolled_back_is_repeated() {
    for code in [1203, 1226, 3101] {
        let statements = Arc::new(AtomicUsize::new(0));
        let counter = statements.clone();
        let port = serve(move |stream| {
            let mut peer = Peer(stream, 0);
            peer.accept();
            while peer.serve().is_some() {
                match counter.fetch_add(1, Ordering::SeqCst) {
                    0..3 => peer.fail(code),
                    _ => peer.no_row(),
                }
            }
        });
        assert_eq!(open(&url(port)).unwrap().find_by_key("1"), Ok(None), "{code}");
        assert_eq!(statements.load(Ordering::SeqCst), 4, "{code}");
    }
}

#[test]
fn value_of_an_internal_type_does_not_exhaust_the_pool() {
    static IS_GOOD: AtomicBool = AtomicBool::new(false);
    let kinds = [17, 18, 19, 20, 243];
    let port = serve(move |stream| {
        let mut peer = Peer(stream, 0);
        peer.accept();
        for at in 0.. {
            if peer.serve().is_none() {
                return;
            }
            match IS_GOOD.load(Ordering::SeqCst) {
                // No row.
                true => {
                    peer.send(&[1]);
                    [&column(LONGLONG)[..], EOF, EOF].iter().for_each(|payload| peer.send(payload));
                }
                false => peer.rows(kinds[at % kinds.len()], &[0, 0, 4, 1, 2, 3, 4]),
            }
        }
    });
    let store = open(&url(port)).unwrap();
    for _ in 0..8 {
        let found = catch_unwind(AssertUnwindSafe(|| store.find_by_key("1")));
        assert!(found.expect("a panic reaches the application").is_err());
    }
    IS_GOOD.store(true, Ordering::SeqCst);
    assert_eq!(store.find_by_key("1"), Ok(None));
}

#[test]
fn server_that_ends_the_session_is_connected_again() {
    for code in [1053_u16, 1152, 1158, 1159, 1161, 4031] {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let port = serve(move |stream| {
            // The first connection is that of the start.
            let is_ending = counter.fetch_add(1, Ordering::SeqCst) == 1;
            let mut peer = Peer(stream, 0);
            peer.accept();
            while peer.serve().is_some() {
                if is_ending {
                    return peer.send(&[&[0xff][..], &code.to_le_bytes(), b"#08S01bye"].concat());
                }
                peer.send(&[1]);
                [&column(LONGLONG)[..], EOF, EOF].iter().for_each(|payload| peer.send(payload));
            }
        });
        let store = open(&url(port)).unwrap();
        assert_eq!(store.find_by_key("1"), Ok(None), "{code}");
        assert_eq!(connections.load(Ordering::SeqCst), 3, "{code}");
    }
}

#[test]
fn response_without_end_is_lost() {
    // Rows, definitions of columns, and parameters of a prepared statement.
    for prelude in [
        vec![vec![1], column(LONGLONG), EOF.to_vec()],
        vec![vec![64]],
        vec![[&[0, 1, 0, 0, 0][..], &[0, 0], &[255; 2], &[0, 0, 0]].concat()],
    ] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let is_prepared = prelude[0][0] == 0;
        let port = serve(move |stream| {
            let mut peer = Peer(stream, 0);
            peer.accept();
            // The statement of settings, or the one that is prepared.
            loop {
                let Some(command) = peer.read() else { return };
                match command[0] {
                    22 if is_prepared => break,
                    3 if is_prepared && command[1..].starts_with(b"SELECT") => peer.rows(LONGLONG, b"\x011"),
                    3 if command[1..].starts_with(b"SELECT") => break,
                    _ => peer.send(OK),
                }
            }
            prelude.iter().for_each(|payload| peer.send(payload));
            // All numbers of packets, one after the other.
            let mut definition = column(LONGLONG);
            definition.splice(4..5, [&[0xfc, 0, 60][..], &[b'x'; 15360]].concat());
            let [low, middle, high, _] = u32::try_from(definition.len()).unwrap().to_le_bytes();
            let first = peer.1;
            let packet = |at: u8| [&[low, middle, high, first.wrapping_add(at)][..], &definition].concat();
            let round: Vec<u8> = (0..=255).flat_map(packet).collect();
            flood(&mut peer.0, &round, &counter);
        });
        match is_prepared {
            false => drop(refusal(&url(port))),
            true => drop(open(&url(port)).unwrap().find_by_key("1").unwrap_err()),
        }
        // A query is sent again three times.
        assert!(sent.load(Ordering::SeqCst) < 4 * MOST_SENT, "{sent:?}");
    }
}

#[test]
fn message_of_an_error_is_shortened() {
    let port = serve(|stream| {
        let mut peer = Peer(stream, 0);
        let error = [&[0xff, 0x15, 4][..], b"#28000", "é".repeat(300_000).as_bytes()].concat();
        peer.send(&error);
    });
    assert!(refusal(&url(port)).contains("éé"));
}

#[test]
fn password_is_not_sent_where_it_could_be_read() {
    // A name of the loopback interface that is not known as one.
    for (host, is_sent) in [("127.1", false), ("127.0.0.1", true)] {
        for is_switched in [false, true] {
            let (sender, receiver) = mpsc::channel();
            let port = serve(move |stream| {
                let mut peer = Peer(stream, 0);
                let greeted = peer.greet(if is_switched { "mysql_native_password" } else { "caching_sha2_password" });
                let response = greeted.unwrap();
                let is_native = response.windows(21).any(|window| window == b"mysql_native_password");
                if is_switched || is_native {
                    peer.send(b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0");
                    peer.read();
                }
                // The client sends the password, encrypted with a key of the server's choice.
                peer.send(&[1, 4]);
                sender.send(peer.read()).unwrap();
            });
            let message = refusal(&url_of(host, port));
            let asked = receiver.recv_timeout(SLACK).unwrap();
            assert_eq!(asked, is_sent.then(|| vec![2]), "{message}");
            assert_eq!(message.contains("verify-full"), !is_sent, "{message}");
        }
    }
}
