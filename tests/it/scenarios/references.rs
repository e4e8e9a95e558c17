//! References to external objects.

use heirloom_testkit::{HttpServer, Route};
use serde_json::Value;

use crate::support::Sandbox;

#[test]
fn a_reference_is_pinned_fetched_and_refused_after_a_change() {
    let sandbox = Sandbox::new();
    let server = HttpServer::start();
    server.route("/model.h5", Route::content("weights").etag("\"v1\""));
    let uri = server.url("/model.h5");
    sandbox.ok(&format!("artifact add-ref {uri} -n ext -t model")).prints("ext:v0\n");
    let line: Value = sandbox.ok("artifact files ext --json").document();
    assert_eq!(
        (line["type"].as_str(), line["path"].as_str()),
        (Some("reference"), Some("model.h5"))
    );
    assert_eq!((line["size"].as_u64(), line["etag"].as_str()), (Some(7), Some("\"v1\"")));

    sandbox.ok("get ext --root copy").says("only the source's word");
    assert_eq!(std::fs::read_to_string(sandbox.path("copy/model.h5")).unwrap(), "weights");
    assert_eq!(sandbox.ok("artifact cat ext model.h5").bytes, b"weights");

    server.route("/model.h5", Route::content("changed").etag("\"v2\""));
    let ran = sandbox.run("get ext --root copy2");
    assert_ne!(ran.code, 0);
    ran.says("model.h5");
    assert!(!sandbox.path("copy2/model.h5").exists());
}

#[test]
fn a_directory_of_files_is_hashed_and_bounded() {
    let sandbox = Sandbox::new();
    sandbox.images();
    let uri = format!("file://{}", sandbox.path("images").display());
    let put: Value = sandbox.json(&format!("artifact add-ref {uri} -n ext -t dataset --as data"));
    assert_eq!((put["files"].as_u64(), put["bytes"].as_u64()), (Some(3), Some(7012)));
    let files = sandbox.ok("artifact files ext").out;
    assert!(files.contains("data/dogs/rex.png -> file:///"), "{files}");
    sandbox.ok("get ext --root copy");
    assert!(sandbox.path("copy/data/dogs/rex.png").exists());
    let ran = sandbox.run(&format!("artifact add-ref {uri} -n ext --max-objects 2"));
    assert_eq!(ran.code, 1, "{}", ran.err);
    ran.says("2");
}

#[test]
fn credentials_in_a_uri_are_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run("artifact add-ref https://me:hunter2@example.org/x -n ext -t t");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    sandbox.fails(1, "ls ext");
}
