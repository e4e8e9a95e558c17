//! What goes wrong, how it is said, and with which code.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use heirloom_testkit::fixtures;

use crate::support::{Ran, Sandbox};

#[test]
fn typos_get_suggestions() {
    let sandbox = Sandbox::new();
    sandbox.fails(2, "lineag x").says("'lineage'");
    sandbox.fails(2, "ls --jsn").says("'--json'");
    sandbox.fails(2, "artifact sho x").says("'show'");
    sandbox.fails(2, "gt x").says("'get'");
    sandbox.fails(2, "--quiet artifact gte x").says("'get'");
    sandbox.fails(2, "artifact frobnicate x").says("unrecognized");
    let error = sandbox.fails(2, "--json lineag x").error();
    assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some("error"), Some("usage")));
    assert!(error["hint"].as_str().unwrap().contains("lineage"), "{error}");
    assert!(!sandbox.home().exists());
}

#[test]
fn unknown_names_get_the_nearest() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset -a best");
    let ran = sandbox.fails(1, "get anmals");
    ran.says("error: artifact `anmals` does not exist\nhint: did you mean `animals`?\n").prints("");
    let error = sandbox.fails(1, "--json get anmals").error();
    assert_eq!(error["code"], "not_found");
    assert_eq!(error["nearest"], serde_json::json!(["animals"]));
    sandbox.fails(1, "get animals:bst").says("best");
    sandbox.fails(1, "get animals:v7").says("v7");
    sandbox.fails(1, "ls anmals").says("animals");
    sandbox.fails(2, "get a:b:c");
}

#[test]
fn types_are_needed_once_and_fixed_then() {
    let sandbox = Sandbox::new();
    sandbox.images().fails(2, "put images -n a").says("needs a type").says("--type");
    sandbox.ok("put images -n a -t dataset");
    let ran = sandbox.fails(1, "put images -n a -t model");
    ran.says("`a` has type `dataset`, not `model`").says("--type dataset");
    assert_eq!(sandbox.fails(1, "--json put images -n a -t model").error()["found"], "dataset");
}

#[test]
fn versions_and_bad_names_are_refused_on_the_command_line() {
    let sandbox = Sandbox::new();
    sandbox.images().fails(2, "put images -n a:v1 -t t").says("becomes the next one");
    sandbox.fails(2, "put images -n a/b/c/d -t t");
    sandbox.fails(2, "put images -n ../x -t t");
    sandbox.fails(2, "put images -n a -t t -a v1").says("reserved");
    sandbox.fails(2, "put images -n a -t t --ttl soon").says("duration");
    sandbox.fails(2, "put images -n a -t t --metadata {").says("JSON");
    sandbox.fails(2, "--project a/b/c ls");
}

#[test]
fn hints_fit_what_was_asked() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t dataset");
    sandbox.ok("put images/cat.png -n b -t model");
    for prefix in ["/abs", "../up", "a//b", "."] {
        let ran = sandbox.fails(2, &format!("put images -n a --as {prefix}"));
        ran.says(&format!("--as `{prefix}`")).says("a path in the artifact");
    }
    sandbox.fails(2, "put images -n a --metadata [1]").says("a JSON object such as");
    sandbox.fails(1, "artifact cp a b").says("choose another name");
    let limit = format!("artifact add-ref file://{} -n r -t t", sandbox.path("images").display());
    sandbox.fails(1, &format!("{limit} --max-objects 1")).says("`--max-objects N`");
    sandbox.fails(1, "artifact add-ref foo://x/y -n r -t t --no-checksum").says("`--as PATH`");
    sandbox.write("out/cat.png/in-the-way", "x");
    sandbox.fails(1, "get b --root out").says("`--mirror` replaces");
    sandbox.ok("get b --root out --mirror");
    sandbox.fails(1, "get a --prefix nope").says("heirloom artifact files a:v0");
    sandbox.fails(4, "artifact rename a b").says("choose another name");
    sandbox
        .fails(4, "artifact restore a:v0")
        .says("version `a:v0` is not deleted\nhint: `heirloom ls NAME --deleted`");
    sandbox.ok("run start --id r");
    sandbox.ok("run finish r");
    sandbox.fails(4, "run finish r --exit-code 1").says("`heirloom run start` begins another");
}

#[test]
fn every_missing_file_is_named_and_nothing_is_committed() {
    let sandbox = Sandbox::new();
    let ran = sandbox.images().fails(1, "put images nope also-nope -n a -t t");
    ran.says("nope").says("also-nope").prints("");
    sandbox.fails(1, "ls a");
}

#[test]
fn a_newer_repository_is_refused_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    let config = sandbox.home().join("heirloom.toml");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("format = 2", "format = 3\nnew = 'x'");
    std::fs::write(&config, &text).unwrap();
    for line in ["ls", "put images -n a", "get a", "verify"] {
        sandbox.fails(1, line).says("format 3").says("newer heirloom");
    }
    assert_eq!(sandbox.fails(1, "--json ls").error()["code"], "newer_format");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
}

#[test]
fn damage_is_named_by_get_cat_and_verify() {
    let sandbox = Sandbox::new();
    sandbox.write("big.bin", fixtures::bytes(1, 2 << 20));
    sandbox.ok("put big.bin -n a -t t");
    let object = find(&sandbox.home().join("objects"));
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[1 << 20] ^= 1;
    std::fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&object, bytes).unwrap();
    let name = object.file_name().unwrap().to_string_lossy().into_owned();

    sandbox.fails(3, "get a --root d").says(&name);
    assert!(!sandbox.path("d/big.bin").exists(), "no wrong bytes under the final name");
    let ran = sandbox.fails(3, "verify");
    assert!(ran.out.contains(&name) && ran.out.contains("a:v0"), "{}", ran.out);
    let ran = sandbox.fails(3, "artifact verify a");
    assert!(ran.out.contains(&name), "{}", ran.out);
    let ran = sandbox.fails(3, "artifact cat a big.bin");
    assert!(ran.bytes.is_empty(), "up to 8 MiB are verified first");
    assert_eq!(sandbox.fails(3, "--json verify").error()["code"], "corrupt");
}

/// The first file below a directory.
fn find(dir: &std::path::Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.max_by_key(|path| path.is_file()).unwrap();
    if path.is_dir() { find(&path) } else { path }
}

#[test]
fn a_closed_pipe_is_quiet_success() {
    let sandbox = Sandbox::new();
    for i in 0..3000 {
        sandbox.write(format!("many/a-name-that-is-not-exactly-short-{i:060}"), "");
    }
    sandbox.ok("put many -n many -t t");
    for line in ["artifact files many", "manifest dump many", "artifact files many --json"] {
        let mut child = sandbox.spawn(line);
        let mut first = String::new();
        let mut out = BufReader::with_capacity(64, child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        drop(out);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
        assert!(!first.is_empty());
    }
}

#[test]
fn a_bug_is_told_from_a_failure() {
    let ran = Sandbox::new().fails(70, "dev panic");
    ran.says("this is a bug in heirloom").says("as asked for").says("/issues").prints("");
}

#[test]
fn a_catalog_that_is_no_database_says_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    for entry in std::fs::read_dir(sandbox.home()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match name.as_str() {
            "catalog.sqlite3" => std::fs::write(path, "not a database").unwrap(),
            name if name.starts_with("catalog.") => std::fs::remove_file(path).unwrap(),
            _ => {}
        }
    }
    for line in ["ls", "verify", "put images -n a"] {
        sandbox.fails(3, line).says("catalog").says("backup");
    }
}

#[test]
fn a_full_output_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = sandbox
        .command(["artifact", "files", "a"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(text.contains("cannot write the output"), "{text}");
}
