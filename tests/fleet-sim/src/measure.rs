//! Measures a real `redis-server` on a loopback port, as the data of the simulation.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As many connections as threads of a small server use at once.
const CONNECTIONS: usize = 4;
const OPERATIONS: usize = 50_000;
/// The length of a sealed user.
const VALUE_LEN: usize = 700;
/// Each connection sends an operation, then pauses: the load of a cache, not of a benchmark.
const PAUSE: Duration = Duration::from_micros(200);
const QUANTILES: [f64; 15] =
    [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> std::io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let port_argument = port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port_argument, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Server { child, port })
    }

    fn connect(&self) -> std::io::Result<Connection> {
        let begun = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(stream) => return Connection::new(stream),
                Err(error) if begun.elapsed() > Duration::from_secs(5) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Sends a command and reads the reply, a simple or a bulk string.
    fn call(&mut self, parts: &[&[u8]]) -> std::io::Result<Vec<u8>> {
        let mut command = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            command.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            command.extend_from_slice(part);
            command.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&command)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let Some(len) = line.strip_prefix('$').and_then(|len| len.trim().parse::<usize>().ok()) else {
            return Ok(line.into_bytes());
        };
        let mut value = vec![0; len + 2];
        self.0.read_exact(&mut value)?;
        value.truncate(len);
        Ok(value)
    }
}

fn measure_one(mut connection: Connection) -> std::io::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(OPERATIONS);
    for number in 0..OPERATIONS {
        let key = format!("user:{}", number % 1000);
        let begun = Instant::now();
        let value = connection.call(&[b"GET", key.as_bytes()])?;
        latencies.push(begun.elapsed());
        if value.len() != VALUE_LEN {
            return Err(std::io::Error::other("redis-server returned another value"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(latencies)
}

fn first_line(path: &str, prefix: &str) -> String {
    let content = std::fs::read_to_string(path).unwrap_or_default();
    let line = content.lines().find_map(|line| line.strip_prefix(prefix));
    line.map_or_else(|| "unknown".into(), |line| line.trim_matches([' ', '\t', ':', '"']).to_owned())
}

/// Measures, and returns the content of `data/redis-latency.txt`.
///
/// # Errors
///
/// If `redis-server` cannot be started or does not respond as expected.
pub fn measure() -> std::io::Result<String> {
    let version = Command::new("redis-server").arg("--version").output()?;
    let server = Server::start()?;
    let mut first = server.connect()?;
    for number in 0..1000 {
        first.call(&[b"SET", format!("user:{number}").as_bytes(), &[b'x'; VALUE_LEN]])?;
    }
    let server = Arc::new(server);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let server = server.clone();
            std::thread::spawn(move || server.connect().and_then(measure_one))
        })
        .collect();
    let mut latencies = Vec::new();
    for thread in threads {
        latencies.extend(thread.join().map_err(|_| std::io::Error::other("a thread panicked"))??);
    }
    latencies.sort_unstable();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let mut data = format!(
        "# Latency of GET in microseconds, by quantile. Written by: cargo run --release -p fleet-sim -- --measure\n\
         # {} operations over {CONNECTIONS} loopback connections, each with {} µs between two; values of {VALUE_LEN} bytes\n\
         # {}\n# {} CPUs, {}; {}\n",
        latencies.len(),
        PAUSE.as_micros(),
        String::from_utf8_lossy(&version.stdout).trim(),
        cpus,
        first_line("/proc/cpuinfo", "model name"),
        first_line("/etc/os-release", "PRETTY_NAME="),
    );
    for quantile in QUANTILES {
        let at = (quantile * (latencies.len() - 1) as f64).round() as usize;
        data.push_str(&format!("{quantile} {:.1}\n", latencies[at].as_secs_f64() * 1e6));
    }
    Ok(data)
}
