//! Fixtures and fault doubles that the tests of several crates share: an
//! [`HttpServer`] with programmable oddities, deterministic [`fixtures`], and a
//! [`FixedClock`].
//!
//! Shape: standard library only, so that linking it into many test binaries
//! costs next to nothing and any test may use it whatever its async runtime.
//! It is a dev-dependency of integration tests (`crates/*/tests`), never of
//! library code. It refuses to be configurable by the environment and to use
//! randomness: the same call gives the same bytes everywhere. Where a test
//! cannot go on (no port, no space) it panics with the reason.
//!
//! ```
//! use heirloom_testkit::{HttpServer, Route};
//! use std::io::{Read, Write};
//!
//! let server = HttpServer::start();
//! server.route("/model.h5", Route::content("weights").etag("\"v1\""));
//!
//! let mut stream = std::net::TcpStream::connect(server.address())?;
//! stream.write_all(b"GET /model.h5 HTTP/1.1\r\nHost: x\r\n\r\n")?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert!(answer.ends_with("\r\n\r\nweights"));
//! assert_eq!(server.requests()[0].path, "/model.h5");
//! # Ok::<(), std::io::Error>(())
//! ```

mod clock;
pub mod faults;
pub mod fixtures;
mod http;
pub mod power;

pub use clock::FixedClock;
pub use faults::Tracer;
pub use http::{Fault, HttpServer, RecordedRequest, Route};
