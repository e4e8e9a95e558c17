//! Verbs on the repository, its cache and its surroundings.

use std::os::unix::fs::PermissionsExt;

use super::shapes::{Cache, Doctor, Du, Made, Projects, Stored};
use crate::support::{Ran, Sandbox};

#[test]
fn verify_is_whole_and_du_counts() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    sandbox.write("images/more.bin", [7; 1000]);
    sandbox.ok("put images -n a");
    sandbox.ok("--project p put images/more.bin -n b -t t");

    let stored: Stored = sandbox.json("verify");
    assert!(stored.ok && stored.versions == 3 && stored.damages.is_empty());
    assert_eq!((stored.leftovers, stored.leftover_bytes), (0, 0));
    assert!(sandbox.ok("verify").out.starts_with("3 versions: whole"));

    let du: Du = sandbox.json("du --by version --project default");
    assert_eq!(
        du.rows.iter().map(|row| (row.name.as_str(), row.logical)).collect::<Vec<_>>(),
        [("default/a:v0", 7012), ("default/a:v1", 8012)]
    );
    let du: Du = sandbox.json("du --by project");
    assert_eq!(du.rows.len(), 2);
    assert_eq!((du.logical, du.distinct), (7012 + 8012 + 1000, 8012));
    assert!(du.stored > 0 && du.objects > 0);
    let text = sandbox.ok("du").out;
    assert!(text.contains("default/a") && text.contains("in all: 16.0 kB logical"), "{text}");

    let projects: Projects = sandbox.json("project ls");
    assert_eq!(
        projects.projects.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        ["default", "p"]
    );
    assert!(!sandbox.ok("project ls").out.contains("LIVE"));
    sandbox.ok("project update --ttl 1h").says("live 1 hour unless");
    let listed = sandbox.ok("project ls").out;
    assert!(listed.contains("VERSIONS LIVE") && listed.contains("1 hour"), "{listed}");
    sandbox.ok("project update --ttl never");

    sandbox.ok("--project team/p put images/more.bin -n b -t t");
    let du: Du = sandbox.json("du --by project");
    let mut names: Vec<&str> = du.rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["default", "p", "team/p"]);
    let du: Du = sandbox.json("du --project team/p");
    assert_eq!(du.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["team/p/b"]);
    sandbox.fails(1, "du --project nope").says("project `local/nope` does not exist");
}

#[test]
fn the_cache_may_go_at_any_time() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    let info: Cache = sandbox.json("cache info");
    assert!(info.files > 0 && info.bytes > 0 && !info.cleaned);
    let kept = std::path::Path::new(&info.path).join("not-ours");
    std::fs::write(&kept, "").unwrap();
    let clean: Cache = sandbox.json("cache clean");
    assert!(clean.cleaned && clean.files == info.files);
    assert!(kept.exists(), "only what heirloom made is removed");
    assert_eq!(sandbox.json::<Cache>("cache info").files, 0);
    sandbox.ok("put images -n a").says("unchanged");
    sandbox.ok("get a");
}

#[test]
fn init_makes_settings_for_a_directory() {
    let sandbox = Sandbox::new();
    let made: Made = sandbox.json("init");
    assert!(made.created && made.settings.is_none());
    assert!(!sandbox.json::<Made>("init").created);

    let store = sandbox.path("store");
    sandbox.ok(&format!("init --here --home {} --project vision", store.display()));
    sandbox.fails(4, "init --here").says("exists already");
    sandbox.images();
    let here = |args: &str, dir: &str| {
        let mut command = sandbox.command(args.split(' '));
        command.env_remove("HEIRLOOM_HOME").current_dir(sandbox.path(dir));
        Ran::of(command.output().unwrap())
    };
    here("put . -n animals -t dataset", "images/dogs").expect(0).prints("animals:v0\n");
    here("--project default ls animals", "images").expect(1);
    assert!(
        sandbox.ok(&format!("--home {} ls vision/animals", store.display())).out.contains("v0")
    );
    std::fs::write(sandbox.path(".heirloom.toml"), "hoem = 1").unwrap();
    sandbox.fails(2, "ls").says(".heirloom.toml").says("hoem");
}

#[test]
fn doctor_looks_without_touching() {
    let sandbox = Sandbox::unprivileged();
    let doctor: Doctor = sandbox.json("doctor");
    assert!(doctor.checks.iter().all(|check| check.status != "failed"), "{doctor:?}");
    assert!(!sandbox.home().exists(), "nothing was made");
    std::fs::create_dir(sandbox.home()).unwrap();
    std::fs::set_permissions(sandbox.home(), PermissionsExt::from_mode(0o555)).unwrap();
    let ran = sandbox.fails(1, "doctor");
    assert!(
        ran.out.lines().any(|line| line.starts_with("failed") && line.contains("writable")),
        "{}",
        ran.out
    );
}

#[test]
fn completions_name_the_verbs() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.ok(&format!("completions {shell}")).out;
        assert!(script.contains("whence"), "{shell}");
    }
    assert!(!sandbox.home().exists());
}

#[test]
fn the_reference_has_every_verb() {
    let sandbox = Sandbox::new();
    let text = sandbox.ok("dev cli-reference").out;
    assert!(
        text.contains("### heirloom artifact put\n") && text.contains("### heirloom completions\n")
    );
}
