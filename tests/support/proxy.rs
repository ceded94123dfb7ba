//! A registry that fails on demand: an HTTP proxy in front of the test registry.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Nothing waits longer, whatever a test forgets.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long the rest of a refused request is read, so that the answer is not lost with the connection.
const DRAIN: Duration = Duration::from_millis(200);
/// How much of an answer that is cut off is passed on: more than a head, and less than a head and a manifest.
const CUT_AT: u64 = 450;
const LONGEST_HEAD: usize = 64 * 1024;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The registry answers.
    Forward,
    /// This status, these headers and this body, without the registry.
    Status(u16, Vec<(&'static str, String)>, &'static str),
    /// The connection is closed without an answer.
    Close,
    /// The connection stays open without an answer, as long as anything waits.
    Hang,
    /// The same for this time.
    HangFor(Duration),
    /// The registry answers, and the connection is closed in the middle of the body.
    Cut,
    /// The registry answers after this time.
    Slow(Duration),
}

impl Answer {
    pub fn status(code: u16) -> Self {
        Self::Status(code, Vec::new(), "")
    }
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
}

impl Request {
    pub fn is_for_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

type Rule = Arc<dyn Fn(&Request, usize) -> Answer + Send + Sync>;

struct State {
    rule: Rule,
    seen: Vec<Request>,
    streams: Vec<TcpStream>,
}

/// Listens on a port of its own until it is dropped.
pub struct Proxy {
    pub address: String,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// In front of `registry`, answering as `rule` says. It is given how many requests came before.
    pub fn new(registry: &str, rule: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { rule: Arc::new(rule), seen: Vec::new(), streams: Vec::new() }));
        let ended = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&state), Arc::clone(&ended), registry.to_owned());
        let listening = thread::spawn(move || listen(&listener, &shared.0, &shared.1, &shared.2));
        Self { address, state, ended, listening: Some(listening) }
    }

    /// Answers as `rule` says from now on, and forgets what it has seen.
    pub fn follow(&self, rule: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) {
        let mut state = locked(&self.state);
        state.rule = Arc::new(rule);
        state.seen.clear();
    }

    /// The requests since the rule was given.
    pub fn seen(&self) -> Vec<Request> {
        locked(&self.state).seen.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // The listener waits for one more connection.
        let _ = TcpStream::connect(&self.address);
        for stream in &locked(&self.state).streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(listener: &TcpListener, state: &Mutex<State>, ended: &AtomicBool, registry: &str) {
    thread::scope(|scope| {
        for stream in listener.incoming().map_while(Result::ok) {
            if ended.load(Ordering::SeqCst) {
                break;
            }
            scope.spawn(move || {
                // A client that goes away in the middle is no concern of the proxy's.
                let _ = serve(&stream, state, ended, registry);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
}

/// One request: the connection is not used again.
fn serve(mut client: &TcpStream, state: &Mutex<State>, ended: &AtomicBool, registry: &str) -> io::Result<()> {
    keep(client, state, ended)?;
    let Some((request, head, rest)) = read_head(client)? else {
        // A client that tries TLS first goes on without it when it is told so in plain HTTP.
        return answer(client, 400, &[], "");
    };
    let (rule, before) = {
        let mut state = locked(state);
        state.seen.push(request.clone());
        (Arc::clone(&state.rule), state.seen.len() - 1)
    };
    match rule(&request, before) {
        answer @ (Answer::Forward | Answer::Cut | Answer::Slow(_)) => {
            if let Answer::Slow(time) = answer {
                thread::sleep(time);
            }
            let server = TcpStream::connect(registry)?;
            keep(&server, state, ended)?;
            let most = if matches!(answer, Answer::Cut) { CUT_AT } else { u64::MAX };
            forward(client, &server, &head, &rest, most)
        }
        Answer::Status(code, headers, body) => {
            answer(client, code, &headers, if request.method == "HEAD" { "" } else { body })
        }
        Answer::Close => client.shutdown(Shutdown::Both),
        // Until the client gives up.
        Answer::Hang => io::copy(&mut client, &mut io::sink()).map(drop),
        Answer::HangFor(time) => {
            client.set_read_timeout(Some(time))?;
            io::copy(&mut client, &mut io::sink()).map(drop)
        }
    }
}

fn answer(mut client: &TcpStream, code: u16, headers: &[(&str, String)], body: &str) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {code} {}\r\nConnection: close\r\n", reason(code));
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    client.write_all(text.as_bytes())?;
    client.shutdown(Shutdown::Write)?;
    client.set_read_timeout(Some(DRAIN))?;
    io::copy(&mut client, &mut io::sink()).map(drop)
}

/// Sees to it that the stream ends with the proxy.
fn keep(stream: &TcpStream, state: &Mutex<State>, ended: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(LONGEST_WAIT))?;
    let mut state = locked(state);
    if ended.load(Ordering::SeqCst) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    state.streams.push(stream.try_clone()?);
    Ok(())
}

/// The request, its head without the line about the connection, and what came after it. None of something else than
/// HTTP, a try with TLS above all.
fn read_head(mut client: &TcpStream) -> io::Result<Option<(Request, String, Vec<u8>)>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut read = Vec::new();
    let mut part = [0; 4096];
    let end = loop {
        let count = client.read(&mut part)?;
        read.extend_from_slice(&part[..count]);
        if let Some(end) = read.windows(END.len()).position(|window| window == END) {
            break end;
        }
        if count == 0 || read.len() > LONGEST_HEAD || !read[0].is_ascii_uppercase() {
            return Ok(None);
        }
    };
    let rest = read.split_off(end + END.len());
    let text = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let request = Request { method: method.to_owned(), path: path.to_owned() };
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
        let _ = write!(head, "{line}\r\n");
    }
    head.push_str("\r\n");
    Ok(Some((request, head, rest)))
}

/// Both ways until both sides are done, or `most` bytes of the answer have been passed on.
fn forward(client: &TcpStream, server: &TcpStream, head: &str, rest: &[u8], most: u64) -> io::Result<()> {
    let (mut to_server, mut from_server) = (server, server.take(most));
    let (mut to_client, mut from_client) = (client, client);
    to_server.write_all(head.as_bytes())?;
    to_server.write_all(rest)?;
    thread::scope(|scope| {
        scope.spawn(move || io::copy(&mut from_client, &mut to_server));
        let copied = io::copy(&mut from_server, &mut to_client);
        let _ = client.shutdown(Shutdown::Both);
        copied.map(drop)
    })
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Other",
    }
}
