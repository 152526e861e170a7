//! A Redis server of this test, on a port that the kernel picks, as an ordinary user.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::TempDir;

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Debian's unprivileged user and group.
const UNPRIVILEGED: u32 = 65534;

pub struct Server {
    pub port: u16,
    dir: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

/// `redis-server`, or what `REDIS_SERVER` names, such as `valkey-server`.
fn program() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into())
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub fn start() -> Server {
        Server::with(|_, port| vec![format!("--port {port}")])
    }

    /// Starts a server with arguments that depend on its folder and its port.
    pub fn with(arguments: impl Fn(&TempDir, u16) -> Vec<String>) -> Server {
        let dir = TempDir::new();
        let port = free_port();
        let arguments = arguments(&dir, port).iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
        let mut server = Server { port, dir, arguments, process: None };
        server.restart();
        server
    }

    /// Starts the server again on its port, without its data.
    pub fn restart(&mut self) {
        self.kill();
        let folder = self.dir.join("");
        open_to_unprivileged(&folder);
        let mut command = Command::new(program());
        // A sentinel's configuration comes first, as a file.
        command.args(&self.arguments).args(["--bind", "127.0.0.1", "--dir"]).arg(&folder);
        if !self.arguments.iter().any(|argument| argument == "--sentinel") {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY of the others: it listens on loopback only, as a user without rights.
        if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        self.process = Some(command.spawn().unwrap_or_else(|error| panic!("{}: {error}; make tools", program())));
        let begun = Instant::now();
        while TcpStream::connect(self.addr()).is_err() {
            assert!(begun.elapsed() < START, "the server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the server with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command and returns what it prints.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output().expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs commands of the protocol, of which arguments may be any bytes.
    pub fn raw(&self, arguments: &[&[u8]]) -> Vec<u8> {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(self.addr()).unwrap();
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            request.extend(format!("${}\r\n", argument.len()).into_bytes());
            request.extend_from_slice(argument);
            request.extend(b"\r\n");
        }
        stream.write_all(&request).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        reply
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn open_to_unprivileged(folder: &PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}
