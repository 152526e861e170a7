//! PostgreSQL servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::allocated::bytes_allocated;
use super::{MOST_SENT, PASSWORD, SLACK, ends_within, flood, open, refusal, serve};

const INT8: u32 = 20;
const WRITABLE: &[(&str, &str)] = &[("in_hot_standby", "off"), ("default_transaction_read_only", "off")];
const READY: &[u8] = b"Z\0\0\0\x05I";

fn url(port: u16) -> String {
    format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/db?sslmode=disable&pool_size=2")
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mbye\0\0").as_bytes())
}

/// The description of one column.
fn column(oid: u32) -> Vec<u8> {
    let field = [&b"n\0\0\0\0\0\0\0"[..], &oid.to_be_bytes(), &8_u16.to_be_bytes(), &[255; 4], &[0, 1]].concat();
    message(b'T', &[&[0, 1][..], &field].concat())
}

/// The response to a statement: a number.
fn number(number: i64) -> Vec<u8> {
    let row = message(b'D', &[&[0, 1, 0, 0, 0, 8][..], &number.to_be_bytes()].concat());
    [message(b'1', b""), message(b'2', b""), column(INT8), row, message(b'C', b"SELECT 1\0"), READY.to_vec()].concat()
}

/// The server's end of a connection.
struct Peer(TcpStream);

impl Peer {
    fn exact<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_be_bytes(self.exact()?) as usize;
        let mut body = vec![0; length.checked_sub(4)?];
        self.0.read_exact(&mut body).ok().map(|()| body)
    }

    fn send(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes));
    }

    /// Accepts the user.
    fn accept(&mut self, parameters: &[(&str, &str)]) {
        self.body();
        self.send(&message(b'R', &[0; 4]));
        for (name, value) in parameters {
            self.send(&message(b'S', format!("{name}\0{value}\0").as_bytes()));
        }
        self.send(READY);
    }

    /// Waits for a statement. Returns its SQL, and whether it is a simple query, of which several statements may be.
    fn statement(&mut self) -> Option<(String, bool)> {
        let mut sql = String::new();
        loop {
            let [kind] = self.exact()?;
            let body = self.body()?;
            let text =
                |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap()).into_owned();
            match kind {
                b'Q' => return Some((text(&body), true)),
                b'P' => sql = text(body.splitn(2, |byte| *byte == 0).nth(1).unwrap()),
                b'S' => return Some((sql, false)),
                b'X' => return None,
                _ => {}
            }
        }
    }

    /// Answers statements as a server with the tables of the library, as long as `is_good`.
    fn serve(&mut self, is_good: impl Fn(&str) -> bool) -> Option<()> {
        loop {
            let (sql, is_simple) = self.statement()?;
            if !is_good(&sql) {
                return Some(());
            }
            match is_simple {
                true => self.send(&[message(b'C', b"SET\0"), READY.to_vec()].concat()),
                false if sql.starts_with("SELECT clerk_user_id") => {
                    let end = message(b'C', b"SELECT 0\0");
                    self.send(&[message(b'1', b""), message(b'2', b""), column(INT8), end, READY.to_vec()].concat());
                }
                false => self.send(&number(1)),
            }
        }
    }
}

#[test]
fn good_server_is_accepted() {
    let port = serve(|stream| {
        let mut peer = Peer(stream);
        peer.accept(WRITABLE);
        peer.serve(|_| true);
    });
    let store = open(&url(port)).unwrap();
    assert_eq!(store.find_by_key("1").unwrap(), None);
}

#[test]
fn type_that_needs_another_type_without_end_is_lost() {
    let port = serve(|stream| {
        let mut peer = Peer(stream);
        peer.accept(WRITABLE);
        peer.serve(|sql| !sql.starts_with("SELECT"));
        peer.send(&[message(b'1', b""), message(b'2', b""), column(1_000_000), READY.to_vec()].concat());
        for oid in 1_000_001_u32.. {
            if peer.statement().is_none() {
                return;
            }
            let parameter = message(b't', &[&[0, 1][..], &oid.to_be_bytes()].concat());
            peer.send(&[message(b'1', b""), parameter, message(b'n', b""), READY.to_vec()].concat());
        }
    });
    let message = refusal(&url(port));
    assert!(message.contains("more than"), "{message}");
}

#[test]
fn response_without_end_is_lost() {
    let row = message(b'D', &[&[0, 1, 0, 0, 0, 8][..], &[0; 8]].concat());
    let notice = message(b'N', b"SNOTICE\0C00000\0Mx\0\0");
    for (is_at_start, unit) in [(true, notice.clone()), (false, notice), (false, row)] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let port = serve(move |stream| {
            let mut peer = Peer(stream);
            match is_at_start {
                true => {
                    peer.body();
                    peer.send(&message(b'R', &[0; 4]));
                }
                false => {
                    peer.accept(WRITABLE);
                    peer.serve(|sql| !sql.starts_with("SELECT"));
                    peer.send(&[message(b'1', b""), message(b'2', b""), column(INT8)].concat());
                }
            }
            flood(&mut peer.0, &unit, &counter);
        });
        let message = refusal(&url(port));
        assert!(message.contains("more than") && sent.load(Ordering::SeqCst) < MOST_SENT, "{message} {sent:?}");
    }
}

/// A small message takes more memory than bytes.
#[test]
fn response_of_many_messages_takes_little_memory() {
    let row = message(b'D', &[0, 0]);
    let parameters: Vec<u8> =
        (0..60_000).flat_map(|number| message(b'S', format!("{number}\0\0").as_bytes())).collect();
    for unit in [row.clone(), [&row[..], READY].concat(), message(b'D', &[0, 1, 255, 255, 255, 255]), parameters] {
        let reply = unit.repeat((1 << 20) / unit.len());
        let port = serve(move |stream| {
            let mut peer = Peer(stream);
            peer.accept(WRITABLE);
            if peer.serve(|sql| !sql.contains("WHERE id = ")).is_some() {
                let no_columns = message(b'T', &[0, 0]);
                peer.send(&[message(b'1', b""), message(b'2', b""), no_columns].concat());
                peer.send(&reply);
                peer.send(&[message(b'C', b"SELECT 1\0"), READY.to_vec()].concat());
            }
        });
        let store = open(&url(port)).unwrap();
        let mut failure = None;
        let allocated = bytes_allocated(|| failure = store.find_by_key("1").err());
        assert!(failure.is_some());
        assert!(allocated < 4 << 20, "{:?}: {allocated} bytes", &unit[..unit.len().min(16)]);
    }
}

#[test]
fn message_that_is_too_long_is_lost_before_it_arrives() {
    for length in [2 << 20, u32::MAX >> 1, u32::MAX] {
        let port = serve(move |stream| {
            let mut peer = Peer(stream);
            peer.body();
            peer.send(&[&b"N"[..], &length.to_be_bytes()].concat());
            std::thread::sleep(SLACK);
        });
        let message = refusal(&url(port));
        assert!(message.contains("more than"), "{message}");
    }
}

#[test]
fn message_of_an_error_is_shortened() {
    let port = serve(|stream| {
        let mut peer = Peer(stream);
        peer.body();
        let text = format!("SFATAL\0VFATAL\0C28000\0M{}\0\0", "é".repeat(300_000));
        peer.send(&message(b'E', text.as_bytes()));
    });
    assert!(refusal(&url(port)).contains("éé"));
}

#[test]
fn password_is_not_sent_to_a_server_that_asks_for_it() {
    for code in [3, 7, 99] {
        let port = serve(move |stream| {
            let mut peer = Peer(stream);
            peer.body();
            peer.send(&message(b'R', &[0, 0, 0, code]));
            let mut rest = Vec::new();
            drop(peer.0.read_to_end(&mut rest));
            assert_eq!(rest, b"");
            SEEN.store(true, Ordering::SeqCst);
        });
        static SEEN: AtomicBool = AtomicBool::new(false);
        let message = refusal(&url(port));
        assert!(message.contains("SCRAM"), "{message}");
        ends_within(SLACK, || {
            while !SEEN.swap(false, Ordering::SeqCst) {
                std::thread::yield_now();
            }
        });
    }
}

#[test]
fn standby_of_a_version_that_does_not_report_it_is_skipped() {
    for parameters in [&[][..], &WRITABLE[..1], &WRITABLE[1..]] {
        let port = serve(move |stream| {
            let mut peer = Peer(stream);
            peer.accept(parameters);
            // "Yes" to each question.
            peer.serve(|_| true);
        });
        let message = refusal(&url(port));
        assert!(message.contains("read-only"), "{message}");
    }
}

#[test]
fn server_that_ends_the_session_is_connected_again() {
    for code in ["57P05", "25P03", "40001", "08006", "XX000"] {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let port = serve(move |stream| {
            let mut peer = Peer(stream);
            // The first connection is that of the start.
            let is_ending = counter.fetch_add(1, Ordering::SeqCst) == 1;
            peer.accept(WRITABLE);
            let is_find = |sql: &str| sql.contains("WHERE id = ");
            if peer.serve(|sql| !(is_ending && is_find(sql))).is_some() {
                peer.send(&error("FATAL", code));
            }
        });
        let store = open(&url(port)).unwrap();
        assert_eq!(store.find_by_key("1"), Ok(None), "{code}");
        assert_eq!(connections.load(Ordering::SeqCst), 3, "{code}");
    }
}

#[test]
fn signal_does_not_look_like_a_lost_connection() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: installs a function that does nothing; SA_RESTART does not help a socket with a timeout.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
    let port = serve(|stream| {
        let mut peer = Peer(stream);
        std::thread::sleep(Duration::from_millis(200));
        peer.accept(WRITABLE);
        peer.serve(|sql| {
            if sql.contains("WHERE id = ") {
                std::thread::sleep(Duration::from_millis(200));
            }
            true
        });
    });
    // SAFETY: has no arguments and cannot fail.
    let thread = unsafe { libc::pthread_self() } as usize;
    let is_done = Arc::new(AtomicBool::new(false));
    let done = is_done.clone();
    let signals = std::thread::spawn(move || {
        while !done.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
            // SAFETY: the thread waits for this one.
            unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) };
        }
    });
    let opened = open(&url(port));
    let found = opened.as_ref().map(|store| store.find_by_key("1"));
    is_done.store(true, Ordering::SeqCst);
    signals.join().unwrap();
    assert_eq!(found.map_err(Clone::clone), Ok(Ok(None)));
}
