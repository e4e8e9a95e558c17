//! Drafts that somebody else ends: the client begins again, and one version is
//! what comes of it.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use heirloom::api::*;
use heirloom::core::*;
use heirloom::{Artifact, BlobId, Client, Entry, IfBaseMoved, LogicalPath, PutOptions};
use heirloom_testkit::fixtures;

use crate::Bench;

/// A call at which a draft is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Claim,
    Add,
    Flush,
    SendFile,
    Commit,
    /// The version is made, but the answer is that the draft was ended.
    Answer,
    /// Not the draft is ended: the version that it was begun from is deleted.
    Delete,
}

/// A backend that ends a draft behind its owner's back.
struct Fencing {
    inner: Arc<dyn Backend>,
    plan: Arc<Plan>,
}

/// Which calls end their draft: those of one kind from the `first` on, `times`.
struct Plan {
    call: Call,
    first: usize,
    times: usize,
    seen: AtomicUsize,
    fenced: AtomicUsize,
    begun: Mutex<Vec<DraftId>>,
}

impl Plan {
    fn strikes(&self, call: Call) -> bool {
        if call != self.call {
            return false;
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        let strikes = (self.first..self.first + self.times).contains(&seen);
        self.fenced.fetch_add(usize::from(strikes), Ordering::Relaxed);
        strikes
    }
}

/// Calls that go on as they are: one line for each.
macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self $(, $arg: $type)*) -> Pending<'a, $answer> {
            self.inner.$name($($arg),*)
        })*
    };
}

impl Backend for Fencing {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    fn begin_draft<'a>(&'a self, request: BeginDraft) -> Pending<'a, DraftDoc> {
        Box::pin(async move {
            let draft = self.inner.begin_draft(request).await?;
            if let Some(newest) = &draft.base
                && self.plan.strikes(Call::Delete)
            {
                let delete = Delete::versions(vec![newest.as_ref().to_string().parse().unwrap()]);
                let project =
                    ProjectRef { entity: newest.entity.clone(), project: newest.project.clone() };
                self.inner.delete(project, delete).await?;
                self.inner.gc(GcRequest { grace: Some(0), ..GcRequest::default() }).await?;
            }
            self.plan.begun.lock().unwrap().push(draft.id);
            Ok(draft)
        })
    }

    fn uploader<'a>(&'a self, draft: DraftId) -> Pending<'a, Box<dyn Uploader>> {
        Box::pin(async move {
            let uploader = self.inner.uploader(draft).await?;
            let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
            Ok(Box::new(FencingUploader { uploader, inner, plan, draft }) as Box<dyn Uploader>)
        })
    }

    fn commit<'a>(&'a self, request: Commit) -> Pending<'a, Option<Committed>> {
        Box::pin(async move {
            let draft = request.draft;
            if let Some(draft) = draft
                && self.plan.strikes(Call::Commit)
            {
                self.inner.abort_draft(draft).await?;
            }
            let done = self.inner.commit(request).await?;
            if let Some(draft) = draft
                && self.plan.strikes(Call::Answer)
            {
                return Err(Problem::new(ErrorCode::Fenced, format!("draft {draft} was ended")));
            }
            Ok(done)
        })
    }

    forward! {
        projects() -> Vec<ProjectDoc>;
        start_run(request: StartRun) -> RunDoc;
        update_run(run: RunId, request: UpdateRun) -> RunDoc;
        run(project: ProjectRef, name: RunName) -> RunDoc;
        runs(project: ProjectRef, after: Option<RunName>, limit: usize) -> Vec<RunDoc>;
        run_versions(run: RunId) -> (Vec<RunVersion>, Vec<RunVersion>);
        version_runs(version: VersionId) -> (Vec<RunDoc>, Vec<RunDoc>);
        abort_draft(draft: DraftId) -> ();
        add_part(request: AddPart) -> AddedPart;
        finish_parts(request: FinishParts) -> FinishedParts;
        abort_parts(project: ProjectRef, name: ArtifactName, id: String) -> PartSetDoc;
        part_sets(project: ProjectRef) -> Vec<PartSetDoc>;
        resolve(project: ProjectRef, reference: ArtifactRef) -> VersionDoc;
        collections(project: ProjectRef, after: Option<ArtifactName>, limit: usize) -> Vec<CollectionDoc>;
        collection(project: ProjectRef, name: ArtifactName) -> CollectionDoc;
        versions(project: ProjectRef, name: ArtifactName, list: ListVersions) -> Vec<VersionDoc>;
        events(project: ProjectRef, name: ArtifactName, before: Option<u64>, limit: usize) -> Vec<EventDoc>;
        downloader(version: VersionId) -> Box<dyn Downloader>;
        entries(version: VersionId, prefix: String, after: Option<LogicalPath>, limit: usize) -> EntryPage;
        entry(version: VersionId, path: LogicalPath) -> Option<Entry>;
        use_version(run: RunId, version: VersionId, asked: String) -> ();
        set_alias(version: VersionDoc, alias: Alias, expected: Expected) -> ();
        remove_alias(project: ProjectRef, name: ArtifactName, alias: Alias) -> ();
        tag(version: VersionDoc, add: Vec<Tag>, remove: Vec<Tag>) -> ();
        update_version(version: VersionDoc, request: UpdateVersion) -> VersionDoc;
        update_collection(project: ProjectRef, name: ArtifactName, request: UpdateCollection) -> CollectionDoc;
        link(version: VersionId, project: ProjectRef, portfolio: ArtifactName, aliases: Vec<Alias>) -> VersionDoc;
        unlink(project: ProjectRef, portfolio: ArtifactName, index: VersionIndex) -> ();
        copy(version: VersionId, project: ProjectRef, name: ArtifactName, run: Option<RunId>) -> Committed;
        protect_alias(project: ProjectRef, name: ArtifactName, alias: Alias, protected: bool) -> ();
        update_project(project: ProjectRef, request: UpdateProject) -> ProjectDoc;
        delete(project: ProjectRef, request: Delete) -> DeletedDoc;
        restore(project: ProjectRef, request: Restore) -> Vec<RestoredDoc>;
        restorable(project: ProjectRef) -> Vec<VersionDoc>;
        set_retention(project: ProjectRef, name: ArtifactName, retention: Option<Retention>) -> CollectionDoc;
        apply_retention(project: ProjectRef, name: ArtifactName, dry_run: bool) -> RetentionDoc;
        version(version: VersionId) -> VersionDoc;
        import_version(request: ImportVersion) -> Committed;
        import_run(run: RunDoc) -> ImportedRun;
        import_edges(edges: Vec<LineageEdge>) -> u64;
        gc(request: GcRequest) -> GcReport;
        lineage(query: LineageQuery) -> LineageDoc;
        whence(blob: BlobId, size: u64) -> Vec<Found>;
        usage(by: UsageBy, only: Option<(EntityName, ProjectName)>) -> UsageReport;
        verify(version: Option<VersionId>) -> VerifyReport;
        verify_all(request: VerifyAll) -> VerifyReport;
    }
}

struct FencingUploader {
    uploader: Box<dyn Uploader>,
    inner: Arc<dyn Backend>,
    plan: Arc<Plan>,
    draft: DraftId,
}

impl FencingUploader {
    /// Uploaders are used on blocking threads, which may wait.
    fn pass(&self, call: Call) -> Answer<()> {
        if self.plan.strikes(call) {
            let ended = self.inner.abort_draft(self.draft);
            tokio::runtime::Handle::current().block_on(ended)?;
        }
        Ok(())
    }
}

impl Uploader for FencingUploader {
    fn claim(&mut self, blobs: &[BlobId]) -> Answer<Vec<bool>> {
        self.pass(Call::Claim)?;
        self.uploader.claim(blobs)
    }

    fn add(&mut self, kind: BlobKind, bytes: &[u8]) -> Answer<BlobId> {
        self.pass(Call::Add)?;
        self.uploader.add(kind, bytes)
    }

    fn flush(&mut self) -> Answer<PackSent> {
        self.pass(Call::Flush)?;
        self.uploader.flush()
    }

    fn send_file(
        &mut self,
        file: &mut File,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Answer<Sent> {
        self.pass(Call::SendFile)?;
        self.uploader.send_file(file, size, progress)
    }

    fn stored(&self) -> u64 {
        self.uploader.stored()
    }
}

/// The bench's repository through a backend that fences.
fn fencing(bench: &Bench, call: Call, first: usize, times: usize) -> (Client, Arc<Plan>) {
    let plan = Arc::new(Plan {
        call,
        first,
        times,
        seen: AtomicUsize::new(0),
        fenced: AtomicUsize::new(0),
        begun: Mutex::default(),
    });
    let inner = Arc::clone(bench.client.backend());
    let backend = Fencing { inner, plan: Arc::clone(&plan) };
    (Client::with_backend(Arc::new(backend), bench.client.options().clone()), plan)
}

fn files(bench: &Bench) -> Artifact {
    for n in 0..300 {
        bench.write(&format!("data/{n:03}"), format!("content {n}"));
    }
    bench.write("data/large", fixtures::bytes(3, 1 << 20));
    let mut artifact = Artifact::new("data", "dataset");
    artifact.add_dir(bench.path("data"));
    artifact
}

const CALLS: [Call; 6] =
    [Call::Claim, Call::Add, Call::Flush, Call::SendFile, Call::Commit, Call::Answer];

#[tokio::test]
async fn a_put_that_is_fenced_at_any_call_makes_one_version() {
    let mut fenced = 0;
    for call in CALLS {
        // Every place up to the tenth, or until there is none any more.
        for first in 0..10 {
            let bench = Bench::new();
            let (client, plan) = fencing(&bench, call, first, 1);
            let project = client.default_project();
            let report = project.put(files(&bench), PutOptions::default()).await.unwrap();
            let case = format!("{call:?} {first}");
            assert!(report.committed.created, "{case}");
            let struck = plan.fenced.load(Ordering::Relaxed);
            assert_eq!(plan.begun.lock().unwrap().len(), 1 + struck, "{case}");
            fenced += struck;
            let versions = bench.client.default_project().versions("data", false, None).await;
            assert_eq!(versions.unwrap().len(), 1, "{case}");
            let version = bench.client.artifact("data").await.unwrap();
            assert_eq!(version.read("large").await.unwrap(), fixtures::bytes(3, 1 << 20));
            assert!(bench.client.verify().await.unwrap().damages.is_empty(), "{case}");
            if struck == 0 {
                break;
            }
        }
    }
    assert!(fenced >= 10, "{fenced}");
}

#[tokio::test]
async fn a_put_or_a_part_beside_which_the_newest_version_is_deleted_goes_on() {
    for is_part in [false, true] {
        let bench = Bench::new();
        bench.log(files(&bench)).await.unwrap();
        let (client, plan) = fencing(&bench, Call::Delete, 0, 1);
        let project = client.default_project();
        let mut next = files(&bench);
        next.add_bytes("more", "more");
        if is_part {
            project.upsert_artifact(next, "id").await.unwrap();
            project.finish_artifact(Artifact::new("data", "dataset"), "id").await.unwrap();
        } else {
            project.put(next, PutOptions::default()).await.unwrap();
        }
        assert_eq!(plan.fenced.load(Ordering::Relaxed), 1);
        bench.client.gc(GcRequest { grace: Some(0), ..GcRequest::default() }).await.unwrap();
        let version = bench.client.artifact("data").await.unwrap();
        assert_eq!((version.name().as_str(), version.doc().files), ("data:v1", 302));
        assert_eq!(version.read("large").await.unwrap(), fixtures::bytes(3, 1 << 20));
        assert!(bench.client.verify().await.unwrap().damages.is_empty());
    }
}

#[tokio::test]
async fn an_edit_that_is_fenced_at_any_call_makes_one_version() {
    let mut fenced = 0;
    for call in CALLS {
        for policy in [IfBaseMoved::Fail, IfBaseMoved::Rebase] {
            for first in 0..4 {
                let bench = Bench::new();
                bench.log(files(&bench)).await.unwrap();
                let large = bench.write("other", fixtures::bytes(4, 1 << 20));
                let (client, plan) = fencing(&bench, call, first, 1);
                let mut draft = client.artifact("data").await.unwrap().new_draft();
                draft.add_bytes("100", "changed").add_file(large).remove("200");
                draft.if_base_moved(policy);
                let project = client.default_project();
                let report = project.put(draft, PutOptions::default()).await.unwrap();
                let case = format!("{call:?} {first} {policy:?}");
                assert!(report.committed.created, "{case}");
                assert_eq!(report.committed.version.index.get(), 1, "{case}");
                let struck = plan.fenced.load(Ordering::Relaxed);
                fenced += struck;
                assert_eq!(plan.begun.lock().unwrap().len(), 1 + struck, "{case}");
                let version = bench.client.artifact("data").await.unwrap();
                assert_eq!((version.name().as_str(), version.doc().files), ("data:v1", 301));
                assert_eq!(version.read("100").await.unwrap(), b"changed");
                assert!(bench.client.verify().await.unwrap().damages.is_empty(), "{case}");
                if struck == 0 {
                    break;
                }
            }
        }
    }
    assert!(fenced >= 12, "{fenced}");
}

#[tokio::test]
async fn a_backend_that_always_fences_is_given_up() {
    let bench = Bench::new();
    let (client, plan) = fencing(&bench, Call::Commit, 0, usize::MAX);
    let error =
        client.default_project().put(files(&bench), PutOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Fenced);
    assert_eq!(plan.begun.lock().unwrap().len(), 5);
    assert!(bench.client.artifact("data").await.is_err());
}
