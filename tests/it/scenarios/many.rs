//! Many files, and many processes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Ran, Sandbox};

#[test]
fn ten_processes_put_into_one_collection() {
    let sandbox = Sandbox::new();
    for i in 0..10 {
        sandbox.write(format!("d{i}/file"), i.to_string());
    }
    let children: Vec<_> =
        (0..10).map(|i| sandbox.spawn(&format!("put d{i} -n shared -t t"))).collect();
    let mut names = BTreeSet::new();
    for child in children {
        let ran = Ran::of(child.wait_with_output().unwrap());
        ran.expect(0);
        names.insert(ran.out.trim().to_owned());
    }
    assert_eq!(names, (0..10).map(|i| format!("shared:v{i}")).collect());
    let versions: Value = sandbox.json("ls shared");
    assert_eq!(versions["versions"][0]["aliases"][0], "latest");
    sandbox.ok("verify");
}

#[test]
fn thousands_of_small_files() {
    let sandbox = Sandbox::new();
    for i in 0..5000 {
        sandbox.write(format!("tree/{:02}/{i}", i % 50), format!("content {i}"));
    }
    let put: Value = sandbox.json("put tree -n many -t t");
    assert_eq!(put["files"], 5000);
    sandbox.write("tree/07/7", "changed");
    let put: Value = sandbox.json("put tree -n many");
    assert_eq!((put["index"].as_u64(), put["new_bytes"].as_u64()), (Some(1), Some(7)));
    assert!(put["stored_bytes"].as_u64().unwrap() < 64 << 10, "{put}");
    sandbox.ok("get many --root copy");
    sandbox.ok("artifact verify many --root copy");
    let objects = sandbox.json::<Value>("du")["objects"].as_u64().unwrap();
    assert!(objects < 20, "{objects} objects for 5000 files");
}

#[test]
fn a_reader_and_writers_at_once() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    let writers: Vec<_> = (0..4).map(|_| sandbox.spawn("put images -n a --new-version")).collect();
    for _ in 0..4 {
        sandbox.ok("get a --root copy");
        sandbox.ok("ls a");
    }
    for child in writers {
        Ran::of(child.wait_with_output().unwrap()).expect(0);
    }
    assert_eq!(sandbox.json::<Value>("ls a")["versions"].as_array().unwrap().len(), 5);
}
