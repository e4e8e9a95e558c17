//! What damaged disks and broken-off beginnings may not achieve.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use heirloom_api::{Backend, BlobKind, Commit};
use heirloom_core::ErrorCode;
use heirloom_manifest::{BlobId, Node};
use heirloom_repository::{Repository, SystemEnvironment};

use crate::support::*;

#[tokio::test]
async fn a_large_blob_in_a_pack_and_a_small_whole_object_verify() {
    let (_dir, repository) = on_disk();
    let backend = owner(&repository);
    let large: Vec<u8> = (0..3u32 << 18).flat_map(|n| n.to_le_bytes()).collect();
    let v0 = log(&backend, &project("default"), "x", &[("a", &large)], None).await;
    let (root, nodes) = tree(&[("s", b"small")]);
    let draft = begin(&backend, &project("default"), "x").await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    uploader.send_file(&mut file_of(b"small"), 5, &mut |_| {}).unwrap();
    send(&mut *uploader, &[], &nodes);
    let commit = Commit { draft: Some(draft), ..commit_of(&project("default"), "x", root) };
    let v1 = backend.commit(commit).await.unwrap().unwrap();
    assert_eq!(backend.verify(None).await.unwrap().damages, []);
    read(&backend, &v0, &large).await.unwrap();
    read(&backend, &v1, b"small").await.unwrap();
}

#[tokio::test]
async fn a_file_stored_again_heals_a_rotten_object() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let content = vec![7; 1 << 20];
    for (project_name, rot) in [("one", true), ("two", false)] {
        let p = project(project_name);
        let (root, nodes) = tree(&[("w", &content)]);
        let draft = begin(&backend, &p, "x").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        let size = content.len() as u64;
        let sent = uploader.send_file(&mut file_of(&content), size, &mut |_| {}).unwrap();
        assert!(sent.created);
        send(&mut *uploader, &[], &nodes);
        let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
        let done = backend.commit(commit).await.unwrap().unwrap();
        if rot {
            assert!(damage(&whole_path(dir.path(), &content), &[7]));
            let report = backend.verify(None).await.unwrap();
            assert_eq!(report.damages.len(), 1);
            assert!(report.damages[0].versions[0].contains("one/x:v0 w"));
            assert!(read(&backend, &done, &content).await.is_err());
        } else {
            read(&backend, &done, &content).await.unwrap();
        }
    }
    assert_eq!(backend.verify(None).await.unwrap().damages, []);
}

#[tokio::test]
async fn a_pack_sent_again_heals_a_rotten_one() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let files: &[(&str, &[u8])] = &[("w", b"some content")];
    let first = log(&backend, &project("one"), "x", files, None).await;
    let sound = packs(dir.path());
    assert!(sound.iter().any(|pack| damage(pack, b"some content")));
    assert!(read(&backend, &first, b"some content").await.is_err());

    let draft = begin(&backend, &project("two"), "x").await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    let (root, nodes) = tree(files);
    send(&mut *uploader, &[b"some content"], &nodes);
    assert_eq!(packs(dir.path()), sound, "the very same pack");
    assert!(uploader.stored() > 0);
    let commit = Commit { draft: Some(draft), ..commit_of(&project("two"), "x", root) };
    let second = backend.commit(commit).await.unwrap().unwrap();
    for version in [&first, &second] {
        read(&backend, version, b"some content").await.unwrap();
    }
    assert_eq!(backend.verify(None).await.unwrap().damages, []);
}

#[tokio::test]
async fn what_the_disk_lost_is_asked_for_and_healed_by_sending_it() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let p = project("default");
    let files: &[(&str, &[u8])] = &[("a", b"first"), ("b", b"second")];
    let old = log(&backend, &p, "x", files, None).await;
    for pack in packs(dir.path()) {
        fs::remove_file(pack).unwrap();
    }
    let report = backend.verify(None).await.unwrap();
    assert!(report.damages.iter().all(|damage| damage.object.starts_with("packs/")));
    assert!(!report.damages.is_empty());
    assert!(read(&backend, &old, b"first").await.is_err());

    let (root, nodes) = tree(files);
    let draft = begin(&backend, &p, "y").await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    let ids = [BlobId::of(b"second"), BlobId::of(b"first"), root.as_blob()];
    assert_eq!(uploader.claim(&ids).unwrap(), [false; 3]);
    // In another order and company, so that it is another pack.
    let commit = Commit { draft: Some(draft), ..commit_of(&p, "y", root) };
    let problem = backend.commit(commit.clone()).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::Invalid);
    send(&mut *uploader, &[b"second", b"third", b"first"], &nodes);
    assert_eq!(uploader.claim(&ids).unwrap(), [true; 3]);
    let new = backend.commit(commit).await.unwrap().unwrap();
    for version in [&old, &new] {
        for content in [&b"first"[..], b"second"] {
            read(&backend, version, content).await.unwrap();
        }
        let page = backend.entries(version.version.id, String::new(), None, 9).await.unwrap();
        assert_eq!(page.entries.len(), 2);
    }
}

#[tokio::test]
async fn verify_names_every_damage_and_goes_on() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let many: Vec<Vec<u8>> = (0..1500u32).map(|n| format!("<{n:05}>").into_bytes()).collect();
    let files = || many.iter().enumerate().map(|(n, b)| (format!("f{n:05}"), &b[..], 7));
    let (root, nodes) = tree_of(files());
    // Leaves with the number of their first file, in order.
    let mut leaves: Vec<(usize, &[u8])> = nodes
        .iter()
        .filter_map(|(_, bytes)| match Node::decode(bytes).unwrap() {
            Node::Leaf(entries) => Some((entries[0].0.as_str()[1..].parse().unwrap(), bytes)),
            Node::Inner { .. } => None,
        })
        .collect();
    leaves.sort();
    assert!(leaves.len() > 3);
    let bad: [&[u8]; 4] = [leaves[0].1, leaves[2].1, &many[leaves[1].0], &many[1499]];
    for project_name in ["one", "two"] {
        // In packs of their own, of which the second project's are damaged.
        let p = project(project_name);
        let before = packs(dir.path());
        let draft = begin(&backend, &p, "x").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        let mut contents: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        contents.push(project_name.as_bytes());
        for bytes in contents {
            uploader.add(BlobKind::Content, bytes).unwrap();
        }
        uploader.flush().unwrap();
        for (_, bytes) in nodes.iter() {
            uploader.add(BlobKind::Node, bytes).unwrap();
        }
        uploader.add(BlobKind::Content, project_name.as_bytes()).unwrap();
        uploader.flush().unwrap();
        if project_name == "two" {
            let mine: Vec<PathBuf> =
                packs(dir.path()).into_iter().filter(|pack| !before.contains(pack)).collect();
            let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
            backend.commit(commit).await.unwrap().unwrap();
            for stretch in bad {
                assert!(mine.iter().any(|pack| damage(pack, stretch)));
            }
        } else {
            let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
            backend.commit(commit).await.unwrap().unwrap();
            assert_eq!(backend.verify(None).await.unwrap().damages, []);
        }
    }
    let stray = dir.path().join("objects/stray.txt");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, "").unwrap();
    let report = backend.verify(None).await.unwrap();
    let blobs: Vec<BlobId> = report.damages.iter().filter_map(|damage| damage.blob).collect();
    for bytes in bad {
        assert!(blobs.contains(&BlobId::of(bytes)), "damage behind damage is named, too");
    }
    assert_eq!(blobs.len(), 4);
    assert!(report.damages.iter().any(|damage| damage.object == "objects/stray.txt"));
    let hurt = report.damages.iter().flat_map(|damage| &damage.versions);
    assert!(hurt.clone().all(|version| version.starts_with("two/x:v0")));
    assert!(hurt.clone().any(|version| version.ends_with(" f01499")));
    // A caller who may not see everything hears of their own.
    let other = viewer_of(&repository, "one").verify(None).await.unwrap();
    assert_eq!((other.versions, other.damages), (1, vec![]));
}

#[tokio::test]
async fn a_repository_without_its_catalog_is_not_taken_for_a_new_one() {
    for empty in [false, true] {
        let (dir, repository) = on_disk();
        log(&owner(&repository), &project("default"), "x", &[("a", b"1")], None).await;
        drop(repository);
        let catalog = dir.path().join("catalog.sqlite3");
        match empty {
            true => fs::write(&catalog, "").unwrap(),
            false => fs::remove_file(&catalog).unwrap(),
        }
        let problem = Repository::open(dir.path(), SystemEnvironment).unwrap_err();
        assert_eq!(problem.code, ErrorCode::Corrupt, "{problem}");
    }
    let (dir, repository) = on_disk();
    log(&owner(&repository), &project("default"), "x", &[("a", b"1")], None).await;
    drop(repository);
    fs::remove_file(dir.path().join("heirloom.toml")).unwrap();
    let problem = Repository::open(dir.path(), SystemEnvironment).unwrap_err();
    assert_eq!(problem.code, ErrorCode::Corrupt, "{problem}");
}

#[tokio::test]
async fn a_home_made_by_many_at_once_is_one() {
    for _ in 0..25 {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let barrier = std::sync::Barrier::new(10);
        let ids: Vec<String> = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                let repository = Repository::open(&home, SystemEnvironment).unwrap();
                repository.home().unwrap().config().id.clone()
            };
            let makers: Vec<_> = (0..10).map(|_| scope.spawn(open)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
        let repository = Repository::open(&home, SystemEnvironment).unwrap();
        log(&owner(&repository), &project("default"), "x", &[("a", b"1")], None).await;
    }
}

/// Of each stored byte one bit is turned; whatever it belongs to, `verify` says so.
#[tokio::test]
async fn no_turned_bit_of_any_object_goes_unnoticed() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let files: [(&str, &[u8]); 3] = [("a", b"one"), ("b", b"two"), ("c", b"three")];
    log(&backend, &project("default"), "x", &files, None).await;
    assert_eq!(backend.verify(None).await.unwrap().damages, []);
    for pack in packs(dir.path()) {
        let whole = fs::read(&pack).unwrap();
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
        for at in 0..whole.len() {
            let mut turned = whole.clone();
            turned[at] ^= 1 << (at % 8);
            fs::write(&pack, turned).unwrap();
            let found = backend.verify(None).await.unwrap().damages;
            assert!(!found.is_empty(), "byte {at} of {}", pack.display());
        }
        fs::write(&pack, whole).unwrap();
    }
    assert_eq!(backend.verify(None).await.unwrap().damages, []);
}
