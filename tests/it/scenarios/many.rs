//! Many files, and many processes.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Ran, Sandbox};
use crate::workload::tell;

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

/// Processes and puts of each; `64,20` in the environment is the figure of
/// docs/reliability.md.
#[test]
fn processes_that_put_again_and_again_get_dense_numbers() {
    let (processes, puts) = match std::env::var("HEIRLOOM_RACE") {
        Ok(text) => {
            let (processes, puts) = text.split_once(',').unwrap();
            (processes.parse().unwrap(), puts.parse().unwrap())
        }
        Err(_) => (12, 5),
    };
    let sandbox = Sandbox::in_memory();
    for i in 0..processes {
        for j in 0..puts {
            sandbox.write(format!("d{i}/{j}/file"), format!("{i} {j}"));
        }
    }
    let script = |i: u64| {
        format!("for j in $(seq 0 {}); do heirloom -q put d{i}/$j -n shared -t t; done", puts - 1)
    };
    let began = std::time::Instant::now();
    let children: Vec<_> = (0..processes)
        .map(|i| {
            let mut shell = sandbox.program("/bin/sh".as_ref(), ["-euc", &script(i)]);
            shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut names = Vec::new();
    for child in children {
        let ran = Ran::of(child.wait_with_output().unwrap());
        ran.expect(0);
        names.extend(ran.out.lines().map(str::to_owned));
    }
    tell(&format!("{processes} processes × {puts} puts: {:.1} s", began.elapsed().as_secs_f64()));
    names.sort();
    let mut wanted: Vec<_> = (0..processes * puts).map(|i| format!("shared:v{i}")).collect();
    wanted.sort();
    assert_eq!(names, wanted);
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
