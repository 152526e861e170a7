//! The fake Clerk API in a process of its own, so that its memory does not count: this test program, started a second time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{Fault, Rotation, Sim, Spoil, TokenSpec};
use serde_json::{Value, json};

const ROLE: &str = "CLERK_SOAK_CHILD";
/// What an answer begins with: the test harness prints lines of its own.
const MARK: &str = "clerk-soak:";

pub fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// Serves until standard input ends.
pub fn serve() {
    let sim = Sim::start();
    let answer = |value: Value| {
        println!("{MARK}{value}");
        std::io::stdout().flush().unwrap();
    };
    answer(json!(sim.url()));
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let mut reply = Value::Null;
        match request["do"].as_str().unwrap() {
            "user" => sim.put_user(request["value"].clone()),
            "delete" => assert!(sim.delete_user(&text("id"))),
            "api_key" => sim.update(|state| {
                let object = json!({"id": text("key"), "subject": text("user"), "scopes": ["read"]});
                state.api_keys.insert(text("key"), object);
            }),
            "session" => sim.put_session(request["value"].clone()),
            "mint" => {
                let mut spec = TokenSpec::session(&text("user"));
                spec.sid = request["sid"].as_str().map(str::to_owned);
                spec.exp_in = request["exp_in"].as_i64();
                spec.spoil = (request["forged"] == true).then_some(Spoil::WrongKey);
                reply = json!(sim.mint_now(&spec));
            }
            "webhook" => {
                let delivery = sim.webhook(&WebhookSpec::new(&text("type"), &text("id"))).unwrap();
                reply = json!([delivery.headers, delivery.body]);
            }
            "rotate" => drop(sim.rotate(Rotation { keep_old: true, ..Rotation::default() }).unwrap()),
            "fault" => match request["n"].as_u64().unwrap_or_default() % 6 {
                0 => sim.set_down(true).unwrap(),
                1 => sim.fault(Fault::on("*").status(500)),
                2 => sim.fault(Fault::on("*").status(429).header("Retry-After", "1")),
                3 => sim.fault(Fault::on("*").delay_ms(3000)),
                4 => sim.fault(Fault::on("*").reset()),
                _ => sim.fault(Fault::on("*").body(json!({"$text": "<html>"}))),
            },
            "heal" => {
                sim.clear_faults();
                sim.set_down(false).unwrap();
                sim.reset_counts();
            }
            other => panic!("{other}"),
        }
        answer(reply);
    }
}

pub struct FakeClerk {
    child: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
    url: String,
}

impl FakeClerk {
    pub fn start() -> FakeClerk {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--nocapture", "--test-threads", "1"]).env(ROLE, "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut streams = (child, input, output);
        let url = read(&mut streams.2).as_str().unwrap().to_owned();
        FakeClerk { child: Mutex::new(streams), url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn ask(&self, request: &Value) -> Value {
        let mut streams = self.child.lock().unwrap();
        writeln!(streams.1, "{request}").unwrap();
        streams.1.flush().unwrap();
        read(&mut streams.2)
    }

    pub fn put_user(&self, user: &Value) {
        self.ask(&json!({"do": "user", "value": user}));
    }

    pub fn delete_user(&self, id: &str) {
        self.ask(&json!({"do": "delete", "id": id}));
    }

    pub fn put_api_key(&self, key: &str, user: &str) {
        self.ask(&json!({"do": "api_key", "key": key, "user": user}));
    }

    pub fn put_session(&self, session: &Value) {
        self.ask(&json!({"do": "session", "value": session}));
    }

    pub fn mint(&self, spec: &TokenSpec) -> String {
        let reply = self.ask(&json!({
            "do": "mint", "user": spec.user, "sid": spec.sid, "exp_in": spec.exp_in, "forged": spec.spoil.is_some(),
        }));
        reply.as_str().unwrap().to_owned()
    }

    /// Returns headers and body.
    pub fn webhook(&self, kind: &str, id: &str) -> (Vec<(String, String)>, String) {
        serde_json::from_value(self.ask(&json!({"do": "webhook", "type": kind, "id": id}))).unwrap()
    }

    pub fn rotate(&self) {
        self.ask(&json!({"do": "rotate"}));
    }

    pub fn fault(&self, n: u64) {
        self.ask(&json!({"do": "fault", "n": n}));
    }

    pub fn heal(&self) {
        self.ask(&json!({"do": "heal"}));
    }
}

impl Drop for FakeClerk {
    fn drop(&mut self) {
        let streams = self.child.get_mut().unwrap();
        let _ = streams.0.kill();
        let _ = streams.0.wait();
    }
}

fn read(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the fake Clerk API has ended");
        if let Some((_, value)) = line.split_once(MARK) {
            return serde_json::from_str(value).unwrap();
        }
    }
}
