//! What holds for S3 holds for Google's and Azure's stores. One test for each, as Azurite takes its time to start.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use backup_set::{
    AUTH_ENCRYPTION_FILE, CopyOptions, DUMP_FILE, DirectorySet, DirectoryStore, FileRole,
    PartialFile, SetState, SetWriter, catalog, copy_set, remove_set,
};
use object_sets::{BegunObjects, Location, ObjectStore, Options, Settings, Teller};
use transfer_proof::Proof;

use crate::server::azurite::SAS;
use crate::server::{BUCKET, Cloud, Fault, Kind, Server};
use crate::{DUMP, NAME, in_two_parts, manifest, verify, write};

#[test]
fn google_s_store_keeps_sets_as_s3_does() {
    let server = Server::of(Cloud::Google).unwrap();
    keeps_sets(&server);
    goes_through_faults(&server);
    assert_eq!(server.unfinished(), 0);
    let keys = ("GOOGLE_BEARER_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS");
    tells_what_is_wrong(&server, keys, "GOOGLE_BASE_URL");
}

#[test]
fn azure_s_store_keeps_sets_as_s3_does() {
    let Some(server) = Server::of(Cloud::Azure) else {
        return;
    };
    keeps_sets(&server);
    goes_through_faults(&server);
    let keys = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY");
    tells_what_is_wrong(&server, keys, "AZURE_STORAGE_ENDPOINT");
    an_object_of_the_same_size_is_no_part_of_a_set(&server);
    what_is_left_of_each_upload_is_told(&server);
    a_sas_will_do_and_is_never_shown(&server);
}

/// Written in parts, read in ranges, listed, copied here and removed.
fn keeps_sets(server: &Server) {
    let store = server.store();
    write(&store, NAME).unwrap();
    write(&store, NAME).unwrap();
    let second = format!("{NAME}-2");
    for name in [NAME, &second] {
        verify(&store, name);
    }
    let listed = catalog(&store).unwrap();
    let are_complete = |state: &SetState| matches!(state, SetState::Complete(_));
    assert!(listed.len() == 2 && listed.iter().all(|set| are_complete(&set.state)));
    let shown = format!("{}/{NAME}", server.url());
    assert!(listed.iter().any(|set| set.path.to_str() == Some(&shown)));
    let here = tempfile::tempdir().unwrap();
    let copied = copy_set(
        &store.set(NAME).unwrap(),
        &DirectoryStore::new(here.path()),
        CopyOptions { read_back: false },
        &mut |_| {},
    );
    let copied = copied.unwrap().path;
    assert_eq!(
        std::fs::read(copied.join(AUTH_ENCRYPTION_FILE)).unwrap(),
        in_two_parts()
    );
    // And back, where the files are already.
    for name in [NAME, &second] {
        remove_set(&store.set(name).unwrap(), None).unwrap();
        assert!(store.set(name).unwrap().is_empty());
    }
    server.fail(&[(Kind::Manifest, Fault::Denied)]);
    let from = DirectorySet::new(&copied);
    let copy = || {
        let options = CopyOptions { read_back: true };
        copy_set(&from, &store, options, &mut |_| {})
    };
    copy().unwrap_err();
    let kept = copy().unwrap().kept_bytes;
    assert_eq!(kept, (DUMP.len() + in_two_parts().len()) as u64);
    remove_set(&store.set(NAME).unwrap(), None).unwrap();
    assert!(catalog(&store).unwrap().is_empty());
}

fn goes_through_faults(server: &Server) {
    let store = server.store();
    let kinds = [Kind::Part, Kind::Complete, Kind::Manifest];
    let faults = [
        Fault::Busy,
        Fault::Cut,
        Fault::LostAnswer,
        Fault::FailedDone,
    ];
    for fault in faults {
        server.fail(&kinds.map(|kind| (kind, fault)));
        write(&store, NAME).unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        verify(&store, NAME);
        remove_set(&store.set(NAME).unwrap(), None).unwrap();
    }
    // Google's store lets nobody put an object once more who may not delete it.
    let lost = [Fault::LostAnswer, Fault::Denied];
    server.fail(&lost.map(|fault| (Kind::Manifest, fault)));
    write(&store, NAME).unwrap();
    verify(&store, NAME);
    remove_set(&store.set(NAME).unwrap(), None).unwrap();
    for kind in kinds {
        server.fail(&[(kind, Fault::Denied)]);
        write(&store, NAME).unwrap_err();
        assert!(catalog(&store).unwrap().is_empty(), "{kind:?}");
    }
}

/// `keys` are the variable that holds one, and the one that is to be looked at where it is wrong.
fn tells_what_is_wrong(server: &Server, keys: (&str, &str), endpoint: &str) {
    let said = |change: &dyn Fn(&mut Options)| {
        let looked = server.store_with(change).look();
        looked.unwrap_err().to_string()
    };
    let wrong = "YS1zZWNyZXQ=";
    let told = said(&|options| options.settings.add(keys.0, wrong));
    assert!(told.contains(keys.1) && !told.contains(wrong), "{told}");
    let told = said(&|options| options.allow_http = false);
    assert!(told.contains("http://"), "{told}");
    let told = said(&|options| options.settings.add(endpoint, "http://127.0.0.1:1"));
    let is_clear = told.contains("refused") && told.contains(endpoint);
    assert!(is_clear, "{told}");
    let elsewhere: Location = server.url().replace(BUCKET, "nobody").parse().unwrap();
    let told = server.store_at(elsewhere, |_| {}).look().unwrap_err();
    assert_eq!(told.kind(), std::io::ErrorKind::NotFound, "{told}");
    assert!(told.to_string().contains("there is no such"), "{told}");
}

/// A dump of which all parts but the last are on their way.
fn begun(
    store: &ObjectStore,
    content: &[u8],
) -> (SetWriter<BegunObjects>, PartialFile<BegunObjects>) {
    let set = SetWriter::resume_or_create(store, NAME).unwrap();
    let mut file = set.file(DUMP_FILE, FileRole::StoreDump).unwrap();
    file.write_all(content).unwrap();
    (set, file)
}

/// Who lists blocks throws away those of others, which are then refused. Where that was not heard, sizes alone would do.
fn an_object_of_the_same_size_is_no_part_of_a_set(server: &Server) {
    let store = server.store();
    let content = in_two_parts();
    let mut other = content.clone();
    other.reverse();
    for fault in [Fault::Pass, Fault::Failed] {
        let (set, file) = begun(&store, &content);
        let (second, replacing) = begun(&store, &other);
        let theirs = replacing.complete(Proof::of_own(&other)).unwrap();
        server.fail(&[(Kind::Complete, fault)]);
        let Err(error) = file.complete(Proof::of_own(&content)) else {
            panic!("{fault:?}");
        };
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("is another command writing"), "{why}");
        drop(set);
        second.seal(theirs, Vec::new(), manifest()).unwrap();
        remove_set(&store.set(NAME).unwrap(), None).unwrap();
    }
}

/// A store that tells `told` what a user should know.
fn telling(server: &Server, told: &Arc<Mutex<Vec<String>>>) -> ObjectStore {
    let log = Arc::clone(told);
    server.store_with(|options| {
        options.teller = Teller::new(move |message| log.lock().unwrap().push(message));
    })
}

/// Azure has one nameless upload for each object.
fn what_is_left_of_each_upload_is_told(server: &Server) {
    let told = Arc::default();
    let store = telling(server, &told);
    let (set, dump) = begun(&store, &in_two_parts());
    let mut key = set
        .file(AUTH_ENCRYPTION_FILE, FileRole::AuthEncryption)
        .unwrap();
    key.write_all(&in_two_parts()).unwrap();
    store.stop();
    drop((dump, key, set));
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    for file in [DUMP_FILE, AUTH_ENCRYPTION_FILE] {
        let is_told = |line: &String| line.contains(file) && line.contains("a week after");
        assert!(told.iter().any(is_told), "{told:?}");
    }
}

fn a_sas_will_do_and_is_never_shown(server: &Server) {
    let with_sas = |sas: &str, change: &dyn Fn(&mut Options)| {
        let settings = server.settings().into_iter();
        let settings = settings.filter(|(name, _)| *name != "AZURE_STORAGE_ACCOUNT_KEY");
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut settings: Settings = settings.collect::<Vec<_>>().into();
        settings.add("AZURE_STORAGE_SAS_TOKEN", sas);
        server.store_with(|options| {
            options.settings = settings;
            change(options);
        })
    };
    let store = with_sas(SAS, &|_| {});
    write(&store, NAME).unwrap();
    verify(&store, NAME);
    // Azurite knows no deleting with a SAS: it comes in a batch, for which it answers 500.
    remove_set(&server.store().set(NAME).unwrap(), None).unwrap();
    let wrong = SAS.replace("sig=Ncjk", "sig=Wron");
    let refused = with_sas(&wrong, &|_| {}).look();
    let nobody = with_sas(SAS, &|options| {
        let nowhere = "http://127.0.0.1:1/account";
        options.settings.add("AZURE_STORAGE_ENDPOINT", nowhere);
    });
    for error in [refused, nobody.look()] {
        let error = error.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("Wron") && !told.contains("Ncjk"), "{told}");
    }
}
