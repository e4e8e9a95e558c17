//! A disk that fills up.

use heirloom_testkit::fixtures;

use crate::support::{Ran, Sandbox};

#[test]
fn a_full_disk_commits_nothing_and_can_be_used_again() {
    let sandbox = Sandbox::new();
    sandbox.write("small/file", "fits");
    sandbox.write("large/file", fixtures::bytes(1, 24 << 20));
    std::fs::create_dir(sandbox.home()).unwrap();
    let script = "
        mount -t tmpfs -o size=16m tmpfs \"$HEIRLOOM_HOME\"
        heirloom -q put small -n small -t t
        code=0; heirloom --json put large -n large -t t || code=$?
        echo \"code $code\"
        heirloom -q ls large && exit 99
        heirloom -q get small --root copy
        echo more > small/more
        heirloom -q put small -n small
        heirloom -q verify
    ";
    // A file system of our own, in a mount namespace of our own.
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let mut unshare = sandbox.program("unshare".as_ref(), [flags, "sh", "-euc", script]);
    let ran = Ran::of(unshare.output().unwrap());
    if ran.err.contains("Operation not permitted") || ran.err.contains("permission denied") {
        return limited(&sandbox);
    }
    ran.expect(0).says("\"code\":\"no_space\"").says("free some space");
    let wanted = "small:v0\ncode 1\ncopy\nsmall:v1\n2 versions: whole";
    assert!(ran.out.starts_with(wanted), "{}", ran.out);
}

/// Where nothing can be mounted: a limit on the size of files.
fn limited(sandbox: &Sandbox) {
    let ran = sandbox.shell(
        "heirloom -q put small -n small -t t
         code=0; (trap '' XFSZ; ulimit -f 2048; heirloom -q put large -n large -t t) || code=$?
         echo \"code $code\"
         heirloom -q ls large && exit 99
         heirloom -q get small --root copy
         heirloom -q put large -n large -t t
         heirloom -q verify",
    );
    ran.expect(0);
    assert!(ran.out.starts_with("small:v0\ncode 1\ncopy\nlarge:v0\n"), "{}", ran.out);
}
