//! Commit and remote of a git working directory, read from its files.

use std::fs;
use std::path::{Path, PathBuf};

/// What a git repository says of itself. Read from `.git` directly, without
/// running git; whether the working tree differs from the commit is not known
/// that way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitState {
    /// The commit that is checked out, 40 or 64 hexadecimal digits.
    pub commit: Option<String>,
    /// URL of the remote `origin`, else of the first one; user names, passwords
    /// and query strings removed.
    pub remote: Option<String>,
}

/// Longest chain of symbolic refs.
const MAX_SYMREFS: usize = 5;

impl GitState {
    /// Looks for a repository in `dir` and the directories above it. `None` when
    /// there is none.
    pub fn of(dir: &Path) -> Option<Self> {
        let git_dir = dir.ancestors().find_map(git_dir_in)?;
        // A linked worktree keeps HEAD to itself and shares the rest.
        let common = match fs::read_to_string(git_dir.join("commondir")) {
            Ok(text) => git_dir.join(text.trim()),
            Err(_) => git_dir.clone(),
        };
        let head = fs::read_to_string(git_dir.join("HEAD")).ok()?;
        let commit = resolve(&git_dir, &common, &head);
        let remote =
            fs::read_to_string(common.join("config")).ok().and_then(|text| remote_of(&text));
        Some(Self { commit, remote })
    }
}

/// The repository's own directory, if `dir` is the top of a working directory.
fn git_dir_in(dir: &Path) -> Option<PathBuf> {
    let dot_git = dir.join(".git");
    let meta = fs::metadata(&dot_git).ok()?;
    if meta.is_dir() {
        return Some(dot_git);
    }
    let text = fs::read_to_string(&dot_git).ok()?;
    Some(dir.join(text.trim().strip_prefix("gitdir:")?.trim()))
}

fn resolve(git_dir: &Path, common: &Path, head: &str) -> Option<String> {
    let mut value = head.trim().to_owned();
    for _ in 0..MAX_SYMREFS {
        let Some(name) = value.strip_prefix("ref:").map(|name| name.trim().to_owned()) else {
            return is_commit(&value).then_some(value);
        };
        if name.split('/').any(|part| part.is_empty() || part == "..") {
            return None;
        }
        value = [git_dir, common]
            .iter()
            .find_map(|dir| fs::read_to_string(dir.join(&name)).ok())
            .map(|text| text.trim().to_owned())
            .or_else(|| packed(common, &name))?;
    }
    None
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(common.join("packed-refs")).ok()?;
    text.lines()
        .filter(|line| !line.starts_with(['#', '^']))
        .filter_map(|line| line.split_once(' '))
        .find(|(_, found)| *found == name)
        .map(|(commit, _)| commit.to_owned())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn remote_of(config: &str) -> Option<String> {
    let mut section: Option<String> = None;
    let mut first = None;
    for line in config.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header
                .strip_suffix(']')
                .and_then(|header| header.strip_prefix("remote \""))
                .and_then(|name| name.strip_suffix('"'))
                .map(str::to_owned);
        } else if let (Some(name), Some((key, value))) = (&section, line.split_once('='))
            && key.trim().eq_ignore_ascii_case("url")
        {
            let url = without_credentials(value.trim().trim_matches('"'));
            if name == "origin" {
                return url;
            }
            first = first.or(url);
        }
    }
    first
}

/// The URL without user, password, query and fragment. `user@host:path`, the
/// form of ssh, keeps its user, which is no secret.
fn without_credentials(url: &str) -> Option<String> {
    if url.is_empty() || url.chars().any(char::is_control) {
        return None;
    }
    let Some((scheme, rest)) = url.split_once("://") else { return Some(url.to_owned()) };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_branch_its_packed_form_and_a_detached_head() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        write(git.join("HEAD"), "ref: refs/heads/main\n");
        write(
            git.join("packed-refs"),
            &format!("# pack-refs with: peeled\n{two} refs/heads/main\n^{one}\n"),
        );
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        assert_eq!(GitState::of(&below).unwrap().commit, Some(two));
        write(git.join("refs/heads/main"), &format!("{one}\n"));
        assert_eq!(GitState::of(&below).unwrap().commit, Some(one));
        write(git.join("HEAD"), &"a".repeat(40));
        assert_eq!(GitState::of(&below).unwrap().commit, Some("a".repeat(40)));
    }

    #[test]
    fn loops_and_escapes_give_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        write(git.join("HEAD"), "ref: HEAD\n");
        assert_eq!(GitState::of(dir.path()).unwrap().commit, None);
        write(dir.path().join("secret"), &"b".repeat(40));
        write(git.join("HEAD"), "ref: ../secret\n");
        assert_eq!(GitState::of(dir.path()).unwrap().commit, None);
    }

    #[test]
    fn a_linked_worktree_shares_refs_and_config() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main/.git");
        write(main.join("refs/heads/topic"), &"c".repeat(40));
        write(main.join("config"), "[remote \"origin\"]\n\turl = ssh://git@host/repo.git\n");
        write(main.join("worktrees/w/HEAD"), "ref: refs/heads/topic\n");
        write(main.join("worktrees/w/commondir"), "../..\n");
        write(
            dir.path().join("w/.git"),
            &format!("gitdir: {}\n", main.join("worktrees/w").display()),
        );
        let state = GitState::of(&dir.path().join("w")).unwrap();
        assert_eq!(state.commit, Some("c".repeat(40)));
        assert_eq!(state.remote.as_deref(), Some("ssh://host/repo.git"));
    }

    #[test]
    fn secrets_in_remotes_are_not_recorded() {
        let config = "[core]\n url = no\n[remote \"up\"]\n url = https://x/y\n\
                      [remote \"origin\"]\n\turl = https://me:ghp_secret@host:8443/a/b.git?token=t\n";
        assert_eq!(remote_of(config).as_deref(), Some("https://host:8443/a/b.git"));
        assert_eq!(without_credentials("git@host:a/b.git").as_deref(), Some("git@host:a/b.git"));
        assert_eq!(without_credentials("/srv/repo.git").as_deref(), Some("/srv/repo.git"));
    }
}
