//! Backups: everything that one state of the catalog names, in another directory,
//! made while the repository is in use; and the way back.
//!
//! A backup has the layout of a repository's directory and a `backup.json`, which
//! makes it one that is only read. Objects never change, so a copy of the catalog
//! comes first and the objects that it names follow, as far as they are not there
//! yet. What a collector removes meanwhile is found missing; then a newer copy of
//! the catalog is taken, and the difference copied, until nothing is missing. The
//! catalog of the backup before stays in its place until then, with all of its
//! objects: at every moment the directory is one complete backup, or none.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use heirloom_api::Problem;
use heirloom_catalog::{
    CatalogExt, CatalogFile, Edit, OpenMode, SCHEMA, SnapshotTotals, SqliteCatalog, SqliteOptions,
};
use heirloom_core::{ErrorCode, Timestamp};
use heirloom_manifest::BlobHasher;
use heirloom_store::{
    Existing, Found, LocalStore, ObjectKey, StagedClone, Store, StoreError, StoreExt, Upload,
    verify_object,
};
use serde::{Deserialize, Serialize};

use crate::home::{
    BACKUP, CATALOG, CONFIG, FORMAT, RESTORE, config_text, io_problem, put_in_place, read_config,
    replace_file,
};
use crate::problem::{Failure, chain};
use crate::{durable, reserve};

/// Copies of the catalog taken for one backup before it is given up.
const MAX_ROUNDS: usize = 20;

/// Most damaged objects named.
const MAX_NAMED: usize = 1000;

/// Bytes copied and hashed at a time.
const BUFFER: usize = 1 << 20;

/// Objects removed from a backup at once.
const REMOVE_BATCH: usize = 256;

/// Drafts ended in one transaction.
const DRAFTS: usize = 1000;

const STAGED_CATALOG: &str = ".catalog.sqlite3-new";
const LOCK: &str = "backup.lock";

/// `backup.json`: what a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupInfo {
    /// False until the first backup into the directory has come to its end.
    pub complete: bool,
    /// Identity of the repository.
    pub repository: String,
    /// Its format.
    pub format: u32,
    /// When the backup was made.
    pub made_at: Option<Timestamp>,
    /// Objects in it.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Versions that can be read.
    pub versions: u64,
}

/// What a backup or the restoring of one came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// What the directory holds now.
    pub info: BackupInfo,
    /// Objects copied now, and their bytes.
    pub copied: (u64, u64),
    /// Objects of an earlier backup that were removed, and their bytes.
    pub removed: (u64, u64),
    /// Objects that the backup should have and has not, or damaged: what is wrong,
    /// one sentence each. Only restoring goes on in spite of any.
    pub damaged: Vec<String>,
}

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupProgress {
    /// Objects done.
    pub objects: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Objects to do.
    pub total_objects: u64,
    /// Bytes to do.
    pub total_bytes: u64,
}

/// Hears of progress.
pub type OnBackup<'a> = dyn FnMut(BackupProgress) + 'a;

/// Makes or brings up to date the backup of the repository in `home` in the
/// directory `target`. The repository may be in use, and of an older format.
///
/// # Errors
/// `not_found` without a repository; `invalid` when `target` is something else,
/// or one directory lies in the other; `corrupt` when objects of the repository
/// are damaged or missing (all others were copied, and an earlier backup in
/// `target` is still what it was); `unavailable` when another backup into it is at
/// work, or objects go away faster than they are copied; `no_space`, `io`.
pub fn backup(
    home: &Path,
    target: &Path,
    now: Timestamp,
    progress: &mut OnBackup<'_>,
) -> Result<BackupReport, Problem> {
    run(home, target, now, progress).map_err(|failure| failure.0)
}

fn run(
    home: &Path,
    target: &Path,
    now: Timestamp,
    progress: &mut OnBackup<'_>,
) -> Result<BackupReport, Failure> {
    let config = read_config(home)?;
    if home.join(BACKUP).exists() {
        let what = format!("{} is a backup itself; copy the directory", home.display());
        return Err(Problem::invalid(what).into());
    }
    apart(home, target)?;
    make_directory(target)?;
    // Looked at before anything is made in it, and again when nobody else is at work.
    earlier(target, &config.id)?;
    let _lock = lock(target)?;
    if earlier(target, &config.id)?.is_none() {
        let info = BackupInfo {
            complete: false,
            repository: config.id.clone(),
            format: config.format,
            made_at: None,
            objects: 0,
            bytes: 0,
            versions: 0,
        };
        write_info(target, &info)?;
    }
    let (from, to) = (LocalStore::open(home)?, LocalStore::open(target)?);
    to.clean_tmp()?;
    let staged = target.join(STAGED_CATALOG);
    let mut copier = Copier::new(&from, &to, progress);
    let mut missing: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut rounds = 0;
    let snapshot = loop {
        let snapshot = snapshot(home, &staged)?;
        copier.begin(snapshot.totals()?);
        snapshot.each_object(|key, size| copier.object(&key, size))?;
        if copier.missing.is_empty() {
            break snapshot;
        }
        // What two states of the catalog name and the store has at neither is lost.
        let lost: Vec<ObjectKey> = copier.missing.intersection(&missing).copied().collect();
        if !lost.is_empty() {
            copier.lost(&lost);
            break snapshot;
        }
        missing = std::mem::take(&mut copier.missing);
        rounds += 1;
        if rounds == MAX_ROUNDS {
            return Err(Problem::new(
                ErrorCode::Unavailable,
                "objects of the repository go away faster than they are copied; try again",
            )
            .into());
        }
    };
    let totals = snapshot.totals()?;
    let Copier { copied, damaged, .. } = copier;
    if !damaged.is_empty() {
        let what = format!(
            "{} of the repository are damaged or missing, so that the backup is not complete; the \
             first: {}",
            plural(damaged.len(), "object"),
            damaged[0]
        );
        return Err(Problem::new(ErrorCode::Corrupt, what).with_items(damaged).into());
    }
    let info = BackupInfo {
        complete: true,
        repository: config.id.clone(),
        format: snapshot.format(),
        made_at: Some(now),
        objects: totals.objects,
        bytes: totals.bytes,
        versions: totals.versions,
    };
    // With this the directory is the new backup; the rest describes it.
    put_in_place(&staged, &target.join(CATALOG))?;
    write_info(target, &info)?;
    replace_file(&target.join(CONFIG), config_text(&config).as_bytes())?;
    let removed = remove_others(&to, &snapshot)?;
    Ok(BackupReport { info, copied, removed, damaged: Vec::new() })
}

/// Makes a repository of a backup, in the directory `target`, which must be absent
/// or empty, or hold what was begun before and broken off. Every object is
/// verified on the way. Drafts that were open in the backup are ended: nobody
/// will come back for them.
///
/// Objects that are damaged or missing in the backup are left out and named in the
/// report; everything else is restored.
///
/// # Errors
/// `not_found` without a backup; `invalid` when the backup was never completed or
/// `target` is in use; `no_space`, `io`.
pub fn restore(
    source: &Path,
    target: &Path,
    progress: &mut OnBackup<'_>,
) -> Result<BackupReport, Problem> {
    bring_back(source, target, progress).map_err(|failure| failure.0)
}

fn bring_back(
    source: &Path,
    target: &Path,
    progress: &mut OnBackup<'_>,
) -> Result<BackupReport, Failure> {
    let found = || read_info(source)?.ok_or_else(|| Problem::not_found("backup", source.display()));
    found()?;
    // So that it is not brought up to date meanwhile. Where it cannot be written, it
    // cannot be changed either.
    let _source = match lock(source) {
        Ok(lock) => Some(lock),
        Err(problem) if problem.code == ErrorCode::Unavailable => return Err(problem.into()),
        Err(_) => None,
    };
    let info = found()?;
    if !info.complete || !source.join(CONFIG).exists() {
        return Err(Problem::invalid(format!(
            "the backup at {} was broken off before it was complete",
            source.display()
        ))
        .into());
    }
    let config = read_config(source)?;
    apart(source, target)?;
    make_directory(target)?;
    if target.join(CONFIG).exists() {
        return Err(occupied(target, "has a repository already").into());
    }
    let marker = target.join(RESTORE);
    let mark = serde_json::json!({ "repository": info.repository }).to_string();
    match fs::read_to_string(&marker) {
        Ok(begun) if begun == mark => {}
        Ok(_) => return Err(occupied(target, "is being restored from another backup").into()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if !is_empty(target)? {
                return Err(occupied(target, "is not empty").into());
            }
        }
        Err(error) => return Err(io_problem("read", &marker, &error).into()),
    }
    let _lock = lock(target)?;
    replace_file(&marker, mark.as_bytes())?;
    let (from, to) = (LocalStore::open(source)?, LocalStore::open(target)?);
    to.clean_tmp()?;
    let staged = target.join(STAGED_CATALOG);
    let snapshot = snapshot(source, &staged)?;
    let mut copier = Copier::new(&from, &to, progress);
    copier.begin(snapshot.totals()?);
    snapshot.each_object(|key, size| copier.object(&key, size))?;
    let lost: Vec<ObjectKey> = copier.missing.iter().copied().collect();
    copier.lost(&lost);
    let Copier { copied, damaged, .. } = copier;
    drop(snapshot);
    let catalog = target.join(CATALOG);
    remove_logs(&catalog)?;
    put_in_place(&staged, &catalog)?;
    if info.format == SCHEMA {
        end_drafts(&catalog)?;
    }
    replace_file(&target.join(CONFIG), config_text(&config).as_bytes())?;
    reserve::ensure(target);
    remove(&marker)?;
    drop(_lock);
    remove(&target.join(LOCK))?;
    Ok(BackupReport { info, copied, removed: (0, 0), damaged })
}

/// What `backup.json` says; `None` when there is none.
///
/// # Errors
/// `corrupt` when it cannot be understood, `io`.
pub(crate) fn read_info(directory: &Path) -> Result<Option<BackupInfo>, Problem> {
    let file = directory.join(BACKUP);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io_problem("read", &file, &error)),
    };
    let info: BackupInfo = serde_json::from_str(&text).map_err(|error| {
        let what = format!("{} cannot be understood: {error}", file.display());
        Problem::new(ErrorCode::Corrupt, what)
    })?;
    if info.format > FORMAT {
        let what = format!(
            "the backup at {} has format {}; this version of heirloom knows {FORMAT}",
            directory.display(),
            info.format
        );
        return Err(Problem::new(ErrorCode::NewerFormat, what));
    }
    Ok(Some(info))
}

fn write_info(directory: &Path, info: &BackupInfo) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(info).expect("plain fields always serialise");
    replace_file(&directory.join(BACKUP), format!("{text}\n").as_bytes())
}

/// A fresh copy of a directory's catalog, opened.
fn snapshot(home: &Path, staged: &Path) -> Result<CatalogFile, Failure> {
    remove(staged)?;
    remove_logs(staged)?;
    CatalogFile::open(home.join(CATALOG))?.copy_to(staged, &mut |_, _| {})?;
    Ok(CatalogFile::open(staged)?)
}

/// Ends what was open when the catalog was copied.
fn end_drafts(catalog: &Path) -> Result<(), Failure> {
    let options = SqliteOptions { mode: OpenMode::Existing, ..SqliteOptions::default() };
    let catalog = SqliteCatalog::open(catalog, options)?;
    loop {
        let more = catalog.transact(|view| {
            let drafts = view.drafts(None, DRAFTS)?;
            let more = drafts.len() == DRAFTS;
            let edits = drafts.into_iter().map(|draft| Edit::EndDraft(draft.id)).collect();
            Ok::<_, Failure>((edits, more))
        })?;
        if !more {
            return Ok(());
        }
    }
}

/// Removes the objects that the snapshot does not name.
fn remove_others(store: &LocalStore, snapshot: &CatalogFile) -> Result<(u64, u64), Failure> {
    let mut removed = (0, 0);
    let mut batch = Vec::new();
    let mut flush = |batch: &mut Vec<ObjectKey>| -> Result<(), Failure> {
        let freed = store.withdraw(batch)?.free()?;
        batch.clear();
        removed.0 += freed.objects;
        removed.1 += freed.bytes;
        Ok(())
    };
    for found in store.walk() {
        if let Found::Object(key, _) = found?
            && !snapshot.has_object(&key)?
        {
            batch.push(key);
            if batch.len() == REMOVE_BATCH {
                flush(&mut batch)?;
            }
        }
    }
    flush(&mut batch)?;
    Ok(removed)
}

/// Copies objects from one directory to another, each verified.
struct Copier<'a, 'p> {
    from: &'a LocalStore,
    to: &'a LocalStore,
    progress: &'a mut OnBackup<'p>,
    done: BackupProgress,
    copied: (u64, u64),
    missing: BTreeSet<ObjectKey>,
    damaged: Vec<String>,
}

/// What became of an object.
enum Outcome {
    Copied,
    Missing,
    Damaged(String),
}

impl<'a, 'p> Copier<'a, 'p> {
    fn new(from: &'a LocalStore, to: &'a LocalStore, progress: &'a mut OnBackup<'p>) -> Self {
        Self {
            from,
            to,
            progress,
            done: BackupProgress::default(),
            copied: (0, 0),
            missing: BTreeSet::new(),
            damaged: Vec::new(),
        }
    }

    /// Begins a round over all objects.
    fn begin(&mut self, totals: SnapshotTotals) {
        self.damaged.clear();
        self.done = BackupProgress {
            total_objects: totals.objects,
            total_bytes: totals.bytes,
            ..BackupProgress::default()
        };
        (self.progress)(self.done);
    }

    fn object(&mut self, key: &ObjectKey, size: u64) -> Result<(), Failure> {
        if self.to.stat(key)?.is_none_or(|info| info.size != size) {
            match self.copy(key)? {
                Outcome::Copied => {
                    self.copied.0 += 1;
                    self.copied.1 += size;
                }
                Outcome::Missing => {
                    self.missing.insert(*key);
                }
                Outcome::Damaged(what) => self.name(what),
            }
        }
        self.done.objects += 1;
        self.done.bytes += size;
        (self.progress)(self.done);
        Ok(())
    }

    fn name(&mut self, what: String) {
        if self.damaged.len() < MAX_NAMED {
            self.damaged.push(what);
        }
    }

    fn lost(&mut self, keys: &[ObjectKey]) {
        for key in keys {
            self.name(format!("object {key} is not in the store"));
        }
    }

    fn copy(&self, key: &ObjectKey) -> Result<Outcome, Failure> {
        match self.copy_verified(key) {
            Ok(()) => Ok(Outcome::Copied),
            Err(StoreError::NotFound { .. }) => Ok(Outcome::Missing),
            Err(error) if error.is_damage() => Ok(Outcome::Damaged(chain(&error))),
            Err(error) => Err(error.into()),
        }
    }

    fn copy_verified(&self, key: &ObjectKey) -> Result<(), StoreError> {
        // Of a pack every blob is looked at before it is copied; a whole object is
        // hashed as it is copied.
        if let ObjectKey::Pack(_) = key
            && let Some((_, error)) = verify_object(self.from, key)?.damaged.into_iter().next()
        {
            return Err(error);
        }
        let mut source = self.from.read(key, None)?;
        let clone = match source.as_file() {
            Some(file) => self.to.create_clone(file)?,
            None => None,
        };
        let mut hasher = BlobHasher::new();
        let mut buffer = vec![0; BUFFER];
        let upload: Box<dyn Upload> = match clone {
            Some(StagedClone { upload, mut file }) => {
                if let ObjectKey::Whole(_) = key {
                    read_all(&mut file, &mut buffer, self.path(key), &mut |bytes| {
                        hasher.update(bytes);
                        Ok(())
                    })?;
                }
                upload
            }
            None => {
                let mut upload = self.to.create()?;
                read_all(&mut source, &mut buffer, self.path(key), &mut |bytes| {
                    hasher.update(bytes);
                    upload.append(bytes)
                })?;
                upload
            }
        };
        if let ObjectKey::Whole(expected) = key {
            let actual = hasher.finish();
            if actual != *expected {
                let key = Some(*key);
                return Err(StoreError::DigestMismatch { key, expected: *expected, actual });
            }
        }
        // Of the same key and another length there can only be a damaged one.
        upload.publish(key, Existing::Keep)?;
        Ok(())
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.from.path_of(key)
    }
}

fn read_all(
    source: &mut impl Read,
    buffer: &mut [u8],
    path: PathBuf,
    each: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    loop {
        match source.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => each(&buffer[..got])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::Io { op: "read", path, source }),
        }
    }
}

fn make_directory(path: &Path) -> Result<(), Problem> {
    durable::make_directory(path).map_err(|error| io_problem("create", path, &error))
}

/// Whether a directory holds nothing but our lock, and what was left of a first
/// step that was broken off.
fn is_empty(path: &Path) -> Result<bool, Problem> {
    let failed = |error: std::io::Error| io_problem("list", path, &error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let ours = [LOCK, ".backup.json-new", ".restore.json-new"];
        if !ours.iter().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses two directories of which one lies in the other.
fn apart(one: &Path, other: &Path) -> Result<(), Problem> {
    // What is not there yet lies where its parent is.
    let real = |path: &Path| -> Result<PathBuf, Problem> {
        let failed = |error: std::io::Error| io_problem("look at", path, &error);
        let path = std::path::absolute(path).map_err(failed)?;
        for above in path.ancestors() {
            if let Ok(real) = fs::canonicalize(above) {
                return Ok(real.join(path.strip_prefix(above).unwrap_or(Path::new(""))));
            }
        }
        Ok(path)
    };
    let (a, b) = (real(one)?, real(other)?);
    match a.starts_with(&b) || b.starts_with(&a) {
        false => Ok(()),
        true => Err(Problem::invalid(format!(
            "{} and {} lie one in the other; choose a directory of its own",
            one.display(),
            other.display()
        ))),
    }
}

fn occupied(path: &Path, why: &str) -> Problem {
    Problem::invalid(format!("{} {why}; choose another directory", path.display()))
}

/// What an earlier backup of the repository says of itself.
///
/// # Errors
/// `invalid` when the directory holds anything else.
fn earlier(target: &Path, repository: &str) -> Result<Option<BackupInfo>, Failure> {
    match read_info(target)? {
        Some(info) if info.repository != repository => {
            Err(occupied(target, "holds a backup of another repository").into())
        }
        Some(info) => Ok(Some(info)),
        None if is_empty(target)? => Ok(None),
        None => Err(occupied(target, "is not empty, and no backup").into()),
    }
}

/// Keeps a second backup out of the directory.
fn lock(directory: &Path) -> Result<File, Problem> {
    let path = directory.join(LOCK);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| io_problem("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Problem::new(
            ErrorCode::Unavailable,
            format!("another process is at work in {}", directory.display()),
        )),
        // Where there are no locks there is nothing to keep apart with.
        Err(fs::TryLockError::Error(_)) => Ok(file),
    }
}

fn remove(path: &Path) -> Result<(), Problem> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(io_problem("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Removes what SQLite may have left beside a catalog that is replaced.
fn remove_logs(catalog: &Path) -> Result<(), Problem> {
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut name = catalog.as_os_str().to_owned();
        name.push(suffix);
        remove(Path::new(&name))?;
    }
    Ok(())
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
