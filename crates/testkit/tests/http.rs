//! The server's answers, read byte for byte from a plain socket.

#![allow(clippy::unwrap_used)]

use heirloom_testkit::{Fault, HttpServer, Route};
use std::io::{Read, Write};
use std::net::TcpStream;

fn ask(server: &HttpServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(format!("{request}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    // A reset after the answer is fine: some faults cut.
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[test]
fn ranges_and_conditions_follow_the_standard() {
    let server = HttpServer::start();
    server.route("/x", Route::content("0123456789").etag("\"a\""));
    let answer = ask(&server, "GET /x HTTP/1.1\r\nRange: bytes=4-");
    assert_eq!(status(&answer), "206");
    assert!(answer.contains("Content-Range: bytes 4-9/10") && answer.ends_with("456789"));
    assert!(ask(&server, "GET /x HTTP/1.1\r\nRange: bytes=0-0").ends_with("\r\n\r\n0"));
    assert_eq!(status(&ask(&server, "GET /x HTTP/1.1\r\nRange: bytes=10-")), "416");
    let changed = ask(&server, "GET /x HTTP/1.1\r\nRange: bytes=4-\r\nIf-Range: \"b\"");
    assert_eq!(status(&changed), "200");
    assert_eq!(status(&ask(&server, "GET /x HTTP/1.1\r\nIf-Match: \"b\"")), "412");
    assert_eq!(status(&ask(&server, "GET /x HTTP/1.1\r\nIf-Match: \"a\"")), "200");
    let head = ask(&server, "HEAD /x HTTP/1.1");
    assert!(head.contains("Content-Length: 10") && head.ends_with("\r\n\r\n"));
}

#[test]
fn faults_are_used_up_in_order_and_requests_recorded() {
    let server = HttpServer::start();
    let route = Route::content("body")
        .fail_first(1, 500)
        .fault(Fault::Close)
        .fault(Fault::Cut { after: 2 });
    server.route("/x", route);
    assert_eq!(status(&ask(&server, "GET /x HTTP/1.1")), "500");
    assert_eq!(ask(&server, "GET /x HTTP/1.1"), "");
    assert!(ask(&server, "GET /x HTTP/1.1").ends_with("\r\n\r\nbo"));
    assert!(ask(&server, "GET /x?q=1 HTTP/1.1\r\nX-Mark: 7").ends_with("\r\n\r\nbody"));
    let last = server.requests().pop().unwrap();
    assert_eq!((last.path.as_str(), last.header("x-mark")), ("/x?q=1", Some("7")));
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_dropped_server_ends_stalled_and_endless_answers() {
    let server = HttpServer::start();
    server.route("/stall", Route::content("").fault(Fault::Stall));
    server.route("/endless", Route::endless());
    let mut stalled = TcpStream::connect(server.address()).unwrap();
    stalled.write_all(b"GET /stall HTTP/1.1\r\n\r\n").unwrap();
    let mut endless = TcpStream::connect(server.address()).unwrap();
    endless.write_all(b"GET /endless HTTP/1.1\r\n\r\n").unwrap();
    let mut some = vec![0; 200_000];
    endless.read_exact(&mut some).unwrap();
    drop(server);
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let _ = endless.read_to_end(&mut rest);
}
