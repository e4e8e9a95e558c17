//! A disk that fills up.

use heirloom_testkit::fixtures;

use crate::support::{Ran, Sandbox};
use crate::workload::tell;

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
    let Some(ran) = mounting(&sandbox, script) else { return limited(&sandbox) };
    ran.expect(0).says("\"code\":\"no_space\"").says("free some space");
    let wanted = "small:v0\ncode 1\ncopy\nsmall:v1\n2 versions: whole";
    assert!(ran.out.starts_with(wanted), "{}", ran.out);
}

/// Runs a script that mounts, in a mount namespace of its own; `None` where one
/// may not.
pub(super) fn mounting(sandbox: &Sandbox, script: &str) -> Option<Ran> {
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let mut unshare = sandbox.program("unshare".as_ref(), [flags, "sh", "-euc", script]);
    let ran = Ran::of(unshare.output().unwrap());
    let refused = ["Operation not permitted", "permission denied"];
    (!refused.iter().any(|words| ran.err.contains(words))).then_some(ran)
}

/// Disks of many sizes are filled by puts until one fails: at another moment of
/// the put each time.
#[test]
fn disks_that_fill_up_at_any_moment_of_a_put_stay_whole() {
    let sandbox = Sandbox::in_memory();
    std::fs::create_dir(sandbox.home()).unwrap();
    for n in 0..40 {
        sandbox.write(format!("d{n}/small"), fixtures::bytes(n, 90_000));
        if n % 5 == 4 {
            sandbox.write(format!("d{n}/large"), fixtures::bytes(100 + n, (1 << 20) + 9));
        }
    }
    let script = "
        code=0
        for size in 300 700 1200 4500 4700 4900 5300 5700 6100 6500 7000 7537 8191 9000; do
            mount -t tmpfs -o size=${size}k tmpfs \"$HEIRLOOM_HOME\"
            n=0
            while code=0; heirloom --json put d$n -n a -t t >out 2>err || code=$?; [ $code = 0 ]; do
                n=$((n + 1))
            done
            [ $code = 1 ] || { cat err; echo \"$size: code $code\"; exit 90; }
            grep -q '\"no_space\"' err || { cat err; echo \"$size: not told\"; exit 91; }
            # Too small for a repository.
            [ -e \"$HEIRLOOM_HOME/heirloom.toml\" ] || { umount \"$HEIRLOOM_HOME\"; continue; }
            # What was committed is all there, and can be read with no byte to spare.
            heirloom verify >>log || { echo \"$size: verify after $n\"; exit 92; }
            i=0
            while [ $i -lt $n ]; do
                rm -rf copy
                heirloom -q get a:v$i --root copy >>log || { echo \"$size: get $i\"; exit 93; }
                cmp copy/small d$i/small || exit 94
                i=$((i + 1))
            done
            # Deleting works on a full disk, and collecting frees it.
            if [ $n -gt 2 ]; then
                heirloom -q rm a:v0 >>log || { echo \"$size: rm\"; exit 95; }
                if heirloom gc --help >>log 2>&1; then
                    heirloom gc --grace 0s >>log || { echo \"$size: gc\"; exit 96; }
                    heirloom -q put d0 -n b -t t >>log || { echo \"$size: no room again\"; exit 97; }
                fi
                heirloom verify >>log || { echo \"$size: verify after rm\"; exit 98; }
            fi
            echo \"$size: $n\"
            umount \"$HEIRLOOM_HOME\"
        done
    ";
    let Some(ran) = mounting(&sandbox, script) else { return };
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    tell(&ran.out);
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
