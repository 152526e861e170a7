//! HTTP/1.1 for a test server: reads requests, writes responses.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::time::SystemTime;

const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 1024 * 1024;
const MAX_HEADERS: usize = 128;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method
    pub method: String,
    /// Path and query as received
    pub target: String,
    /// Header fields in order; invalid UTF-8 is replaced
    pub headers: Vec<(String, String)>,
    /// Body
    pub body: Vec<u8>,
    /// Whether the client keeps the connection open
    pub keep_alive: bool,
}

/// The error for a request that cannot be read.
pub enum ReadError {
    /// The connection was closed or failed
    Closed,
    /// Invalid request: the status of the response, and a message
    Invalid(u16, &'static str),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        ReadError::Closed
    }
}

impl Request {
    /// Returns the path without `/v1` and query.
    pub fn api_path(&self) -> &str {
        let path = self.target.split(['?', '#']).next().unwrap_or_default();
        match path.strip_prefix("/v1") {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }

    /// Returns the decoded pairs of the query.
    pub fn query(&self) -> Vec<(String, String)> {
        let Some((_, query)) = self.target.split_once('?') else { return Vec::new() };
        let query = query.split('#').next().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (percent_decode(&name.replace('+', " ")), percent_decode(&value.replace('+', " ")))
            })
            .collect()
    }

    /// Returns all values of a header field.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let matches = move |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(matches).map(|(_, value)| value.as_str())
    }

    /// Returns the first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Decodes `%XX`; leaves malformed sequences unchanged.
pub fn percent_decode(encoded: &str) -> String {
    let bytes = encoded.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads the next request of a connection; `buffer` keeps the bytes after it.
pub fn read_request(conn: &mut (impl Read + Write), buffer: &mut Vec<u8>) -> Result<Request, ReadError> {
    let (mut request, length) = loop {
        if let Some((request, body, used)) = parse_head(buffer)? {
            buffer.drain(..used);
            break (request, body);
        }
        if buffer.len() > MAX_HEAD {
            return Err(ReadError::Invalid(431, "the head is too large"));
        }
        fill(conn, buffer)?;
    };
    let expects = request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    if expects && buffer.is_empty() {
        conn.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        conn.flush()?;
    }
    request.body = match length {
        BodyLength::Known(length) => take(conn, buffer, length)?,
        BodyLength::Chunked => read_chunked(conn, buffer)?,
    };
    Ok(request)
}

enum BodyLength {
    Known(usize),
    Chunked,
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Request, BodyLength, usize)>, ReadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut fields);
    let used = match head.parse(buffer) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ReadError::Invalid(400, "not an HTTP request")),
    };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
        .collect();
    let mut request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        headers,
        body: Vec::new(),
        keep_alive: head.version == Some(1),
    };
    let options = request.header("connection").unwrap_or_default().to_ascii_lowercase();
    match options.split(',').map(str::trim).find(|option| matches!(*option, "close" | "keep-alive")) {
        Some("close") => request.keep_alive = false,
        Some(_) => request.keep_alive = true,
        None => {}
    }
    let mut length = BodyLength::Known(0);
    if let Some(coding) = request.header("transfer-encoding") {
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(ReadError::Invalid(501, "unknown transfer coding"));
        }
        length = BodyLength::Chunked;
    } else if let Some(value) = request.header("content-length") {
        let known = value.parse().map_err(|_| ReadError::Invalid(400, "bad Content-Length"))?;
        if known > MAX_BODY {
            return Err(ReadError::Invalid(413, "the body is too large"));
        }
        length = BodyLength::Known(known);
    }
    Ok(Some((request, length, used)))
}

/// Reads more bytes into the buffer.
fn fill(conn: &mut impl Read, buffer: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut chunk = [0; 8192];
    match conn.read(&mut chunk)? {
        0 => Err(ReadError::Closed),
        count => {
            buffer.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

fn take(conn: &mut impl Read, buffer: &mut Vec<u8>, length: usize) -> Result<Vec<u8>, ReadError> {
    while buffer.len() < length {
        fill(conn, buffer)?;
    }
    Ok(buffer.drain(..length).collect())
}

fn read_chunked(conn: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let line = read_line(conn, buffer)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| ReadError::Invalid(400, "bad chunk"))?;
        if size > MAX_BODY || body.len() + size > MAX_BODY {
            return Err(ReadError::Invalid(413, "the body is too large"));
        }
        if size == 0 {
            // Trailers end with an empty line.
            while !read_line(conn, buffer)?.is_empty() {}
            return Ok(body);
        }
        body.extend(take(conn, buffer, size)?);
        read_line(conn, buffer)?;
    }
}

fn read_line(conn: &mut impl Read, buffer: &mut Vec<u8>) -> Result<String, ReadError> {
    loop {
        if let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") {
            let line: Vec<u8> = buffer.drain(..end + 2).collect();
            return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if buffer.len() > MAX_BODY {
            return Err(ReadError::Invalid(400, "bad chunk"));
        }
        fill(conn, buffer)?;
    }
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status
    pub status: u16,
    /// Header fields except those of framing and connection
    pub headers: Vec<(String, String)>,
    /// Body
    pub body: Vec<u8>,
}

impl Response {
    /// Creates a response with a JSON body.
    pub fn json(status: u16, body: &Value) -> Response {
        Response {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// Sets a header field; replaces fields of the same name.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Returns whether a header field has this value.
    pub fn has_header(&self, name: &str, value: &str) -> bool {
        self.headers.iter().any(|(field, found)| field.eq_ignore_ascii_case(name) && found.eq_ignore_ascii_case(value))
    }

    /// Returns the head; `framing` is the header line for the length of the body.
    pub fn head(&self, framing: &str, keep_alive: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        let has = |name: &str| self.headers.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        if !framing.is_empty() && !has(framing.split(':').next().unwrap_or_default()) {
            out.push_str(&format!("{framing}\r\n"));
        }
        if !has("date") {
            out.push_str(&format!("Date: {}\r\n", httpdate::fmt_http_date(SystemTime::now())));
        }
        if !keep_alive && !has("connection") {
            out.push_str("Connection: close\r\n");
        }
        out.push_str("\r\n");
        out.into_bytes()
    }

    /// Returns head and body.
    pub fn to_bytes(&self, keep_alive: bool) -> Vec<u8> {
        [self.head(&format!("Content-Length: {}", self.body.len()), keep_alive), self.body.clone()].concat()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
