//! The engines as any plugin calls them: a safety backup, and exactly the files that are named.

use std::fs;
use std::sync::Arc;

use backup_set::{Backup, DirectoryStore, ToolRecord};
use backup_volume::{
    AccessMethod, AccessOptions, Caller, ClosedVolume, FetchOptions, FetchOutcome, Selection,
};
use end_to_end::{Silent, World, wait_for};
use store_backup::{Judged, take_safety_backup};
use wa_common::run::ExitHooks;

fn tool() -> ToolRecord {
    ToolRecord {
        name: "test".to_owned(),
        version: "0".to_owned(),
    }
}

#[test]
fn a_safety_backup_is_verified_and_says_in_its_manifest_what_it_is() {
    let world = World::shared();
    let scratch = world.scratch();
    let (stored, missing) = wait_for(async {
        let cluster = world.cluster();
        let store = DirectoryStore::new(scratch.path());
        let take =
            async |instance| take_safety_backup(&cluster, &Silent, instance, &store, tool()).await;
        (take("wa").await.unwrap(), take("wb").await.unwrap_err())
    });
    assert!(
        matches!(stored.judged, Judged::Verified(_)),
        "{:?}",
        stored.judged
    );
    let backup = Backup::open(&stored.path).unwrap();
    backup.verify().unwrap();
    let manifest = backup.manifest().unwrap();
    assert!(manifest.is_safety() && manifest.tool.name == "test");
    let missing = missing.to_string();
    assert!(
        missing.contains("WatsonAssistant \"wb\" not found"),
        "{missing}"
    );
    // And a backup that is to be kept is none.
    world
        .backup(scratch.path(), &["create", "--to", "kept"])
        .expect_code(0);
    let kept = fs::read_dir(scratch.path().join("kept")).unwrap().next();
    let kept = Backup::open(&kept.unwrap().unwrap().path()).unwrap();
    assert!(!kept.manifest().unwrap().is_safety());
}

#[test]
fn exactly_the_named_file_is_fetched() {
    let world = World::shared();
    let scratch = world.scratch();
    let dumps = world.dumps();
    let oldest = dumps.last().unwrap();
    assert!(dumps.len() > 1, "{dumps:?}");
    world.start_pod_on_volume("reader");
    let (via, outcome): (AccessMethod, FetchOutcome) = wait_for(async {
        let caller = Caller {
            cluster: world.cluster(),
            reporter: Arc::new(Silent),
            exit_hooks: ExitHooks::default(),
        };
        let volume = ClosedVolume::find(caller, None, AccessOptions::default()).await;
        let volume = volume.unwrap();
        let volume = volume.open().await.unwrap();
        let files = volume.files().await.unwrap();
        let chosen = Selection::Named(vec![oldest.clone()])
            .choose(files.clone())
            .unwrap();
        let fetched = volume
            .fetch(&files, &chosen, scratch.path(), &FetchOptions::new(tool()))
            .await;
        (volume.via(), fetched.unwrap())
    });
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!((via, outcome.sets.len()), (AccessMethod::Pod, 1));
    assert_eq!(outcome.sets[0].file(), *oldest);
    let fetched = fs::read(outcome.sets[0].path.join("store.dump")).unwrap();
    assert_eq!(
        fetched,
        fs::read(world.volume_directory().join(oldest)).unwrap()
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    world.delete_pod("reader");
}
