//! Help, streams, options in any place, and names that would drive a terminal.

use crate::support::{Ran, Sandbox};

#[test]
fn global_options_go_before_or_after_the_verb() {
    let sandbox = Sandbox::new();
    let other = sandbox.path("other");
    let line = format!("init --home {}", other.display());
    sandbox.ok(&line);
    sandbox
        .ok(&format!("--home {} --json ls", other.display()))
        .prints("{\n  \"collections\": []\n}\n");
    sandbox
        .ok(&format!("artifact ls --json --home {}", other.display()))
        .prints("{\n  \"collections\": []\n}\n");
    assert!(!sandbox.home().exists());
    sandbox.images().ok("put images -n a -t t --project p -q").prints("a:v0\n");
    assert_eq!(sandbox.ok("--project p get a -q").err, "");
}

#[test]
fn version_and_help() {
    let sandbox = Sandbox::new();
    let version = format!("heirloom {}\n", env!("CARGO_PKG_VERSION"));
    sandbox.ok("--version").prints(&version);
    assert!(
        sandbox.ok("put --version").out.ends_with(&format!(" {}\n", env!("CARGO_PKG_VERSION")))
    );
    let help = sandbox.ok("help").out;
    for group in ["Artifacts:", "Lineage:", "Repository:"] {
        assert!(help.contains(group), "{help}");
    }
    let put = sandbox.ok("put --help").out;
    assert!(
        put.contains("Usage: heirloom put [OPTIONS]") && put.contains("Examples:\n  heirloom put"),
        "{put}"
    );
    sandbox.fails(2, "");
    assert!(!sandbox.home().exists(), "asking for help makes no repository");
}

#[test]
fn names_cannot_drive_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.write("d/a\u{1b}[31m\nb", "x");
    sandbox.ok("put d -n a -t t").says("`a\\u{1b}[31m\\nb`");
    let ran = sandbox.ok("artifact files a");
    ran.prints("       1 B  a\\u{1b}[31m\\nb\n");
    // Programs get the name as it is.
    let json = sandbox.ok("artifact files a --json").out;
    assert!(json.contains(r#""path":"a\u001b[31m\nb""#), "{json}");
    let ran = sandbox.run_args(["get", "x\u{1b}[2J"]);
    ran.expect(2);
    assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
}

#[test]
fn nothing_but_data_is_on_standard_output() {
    let sandbox = Sandbox::new();
    sandbox.images();
    for line in ["put images -n a -t t", "get a", "artifact alias a:v0 x", "rm a:v0"] {
        let ran = sandbox.run(line);
        assert!(ran.out.lines().count() <= 1, "{line}: {}", ran.out);
    }
    let quiet = sandbox.ok("-q put images -n a");
    assert_eq!(quiet.err, "");
}

#[test]
fn colour_is_for_terminals_and_no_color_wins() {
    let sandbox = Sandbox::new();
    let plain = sandbox.fails(1, "ls nothing").err;
    assert!(plain.starts_with("error: ") && !plain.contains('\u{1b}'));
    // `script` gives the command a terminal.
    let script = |line: &str| {
        sandbox.shell(&format!("TERM=xterm script -qec '{line}' /dev/null || true")).out
    };
    let coloured = script("heirloom ls nothing");
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
    let never = script("NO_COLOR=1 heirloom ls nothing");
    assert!(never.contains("error: ") && !never.contains('\u{1b}'), "{never:?}");
}

#[test]
fn terminals_get_drawn_tables() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    let drawn = sandbox.shell("script -qec 'heirloom ls' /dev/null").out;
    assert!(drawn.contains('─') && drawn.contains("animals"), "{drawn}");
    assert!(!sandbox.ok("ls").out.contains('─'));
}

#[test]
fn warnings_are_json_lines_too() {
    let sandbox = Sandbox::new();
    sandbox.write("d/con.txt", "x");
    let ran: Ran = sandbox.run("--json put d -n a -t t");
    ran.expect(0);
    let warning = ran.error();
    assert_eq!(warning["type"], "warning");
    assert!(warning["message"].as_str().unwrap().contains("con.txt"), "{warning}");
}
