//! Fetches from the backup volume that break anywhere, and files that change meanwhile: the very file or an error, never a
//! wrong backup set.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use end_to_end::{FETCH, Outcome, World, sweep_random, sweep_rounds};
use kube_sandbox::faults::{Effect, Matcher};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// Enough for several ranges, of 1 MiB at least, for several streams.
const BYTES: usize = (9 << 20) + 12_345;
const POD: &str = "reader";

/// The world with a pod that has the volume mounted. Its process 1 reaps nothing: a process that is orphaned there stays.
fn world() -> MutexGuard<'static, World> {
    let world = World::shared();
    world.start_pod_on_volume(POD);
    world
}

/// A file on the volume with random content, removed at the end.
struct Source(PathBuf);

impl Source {
    fn create(world: &World, name: &str, random: &mut StdRng) -> Self {
        let mut content = vec![0; BYTES];
        random.fill_bytes(&mut content);
        let path = world.volume_directory().join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    /// Pulls it; its content is no dump, so only that it is the same counts.
    fn pull(&self, world: &World, directory: &Path, arguments: &[&str]) -> Outcome {
        let file = ["pull", self.name(), "--no-verify", "--to", "s"];
        world.pvc(directory, &[&file, arguments].concat())
    }

    fn open(&self) -> File {
        File::options().write(true).open(&self.0).unwrap()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The sets below a directory that say they are complete.
fn complete_sets(directory: &Path) -> Vec<PathBuf> {
    let sets = fs::read_dir(directory.join("s")).into_iter().flatten();
    sets.map(|set| set.unwrap().path())
        .filter(|set| set.join("backup.json").exists())
        .collect()
}

/// Fails the test unless the pull succeeded and brought the very file, or failed and left no set.
#[track_caller]
fn expect_the_file_or_no_set(outcome: &Outcome, directory: &Path, source: &Source) {
    let sets = complete_sets(directory);
    match outcome.code {
        0 => {
            assert_eq!(sets.len(), 1, "{outcome:?}");
            let pulled = fs::read(sets[0].join("store.dump")).unwrap();
            assert!(pulled == fs::read(&source.0).unwrap(), "{outcome:?}");
        }
        1 => assert_eq!(sets, Vec::<PathBuf>::new(), "{outcome:?}"),
        _ => panic!("{outcome:?}"),
    }
}

fn fetches() -> Matcher {
    Matcher {
        path: Some(FETCH.to_owned()),
        ..Matcher::default()
    }
}

/// Something that breaks streams somewhere, and the way to go through it.
fn random_break(random: &mut StdRng, round: usize) -> (Effect, &'static str) {
    // Less than its share, so that it meets every stream.
    let bytes = random.random_range(0..BYTES as u64 / 4);
    match round {
        // Takes as long as a stream may be silent.
        20 => (Effect::StallAfter { bytes }, "pod"),
        _ if round % 10 == 3 => (Effect::DeletePodAfter { bytes }, "debug"),
        _ if round.is_multiple_of(2) => (Effect::CutAfter { bytes }, "pod"),
        _ => (Effect::CloseWithoutStatus { after_bytes: bytes }, "pod"),
    }
}

#[test]
fn a_pull_that_breaks_anywhere_is_resumed_to_the_very_file_or_an_error() {
    let world = world();
    let mut random = sweep_random();
    let mut far_side = world.far_side();
    let source = Source::create(&world, "store.dump_20250101-000000", &mut random);
    let mut resumed = 0;
    for round in 0..sweep_rounds(40, 200) {
        let scratch = world.scratch();
        let (effect, via) = random_break(&mut random, round);
        let times = random.random_bool(0.5).then(|| random.random_range(1..6));
        println!("round {round}: {times:?} times {effect:?} via {via}");
        let is_silent = matches!(effect, Effect::StallAfter { .. });
        let retries = ["0", "1"][random.random_range(0..2)];
        world.fault(fetches(), times, effect);
        let arguments = ["--via", via, "--retries", retries];
        let broken = source.pull(&world, scratch.path(), &arguments);
        expect_the_file_or_no_set(&broken, scratch.path(), &source);
        world.sandbox().faults().clear();
        if is_silent {
            far_side.expect_as_before_after_silence();
        } else {
            far_side.expect_as_before();
        }
        if broken.code == 0 {
            continue;
        }
        // Whatever runs in the pod breaks once more.
        let any_command = Matcher {
            subresource: Some("exec".to_owned()),
            ..Matcher::default()
        };
        let bytes = random.random_range(0..BYTES as u64 / 4);
        world.fault(any_command, Some(1), Effect::CutAfter { bytes });
        let again = source.pull(&world, scratch.path(), &["--resume", "--via", "pod"]);
        expect_the_file_or_no_set(&again, scratch.path(), &source);
        world.sandbox().faults().clear();
        far_side.expect_as_before();
        if again.code != 0 {
            let last = source.pull(&world, scratch.path(), &["--resume", "--via", "pod"]);
            expect_the_file_or_no_set(&last, scratch.path(), &source);
            last.expect_code(0);
        }
        resumed += 1;
    }
    println!("{resumed} pulls broke");
    assert!(resumed >= 5, "only {resumed} pulls broke");
    world.expect_nothing_left();
}

/// Breaks a pull after it has brought some of the file.
#[track_caller]
fn break_off(world: &World, directory: &Path, source: &Source) {
    // One range of each stream, which are fewer than there are ranges.
    let bytes = 3 << 19;
    world.fault(fetches(), None, Effect::CutAfter { bytes });
    source
        .pull(world, directory, &["--via", "pod", "--retries", "0"])
        .expect_code(1)
        .expect_error(&["--resume"]);
    world.sandbox().faults().clear();
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let world = world();
    let scratch = world.scratch();
    let mut random = StdRng::seed_from_u64(1);
    let source = Source::create(&world, "store.dump_20250102-000000", &mut random);
    break_off(&world, scratch.path(), &source);
    let resumed = source
        .pull(&world, scratch.path(), &["--via", "pod", "--resume"])
        .expect_code(0)
        .expect_error(&["resuming", "are here"]);
    expect_the_file_or_no_set(&resumed, scratch.path(), &source);
    world.expect_nothing_left();
}

#[test]
fn what_is_here_of_a_file_that_has_changed_since_is_not_used() {
    let world = world();
    let scratch = world.scratch();
    let mut random = StdRng::seed_from_u64(2);
    let source = Source::create(&world, "store.dump_20250103-000000", &mut random);
    break_off(&world, scratch.path(), &source);
    // Of the same size and time as before: only its content tells.
    let modified = fs::metadata(&source.0).unwrap().modified().unwrap();
    let file = source.open();
    file.write_all_at(b"changed", 0).unwrap();
    file.set_modified(modified).unwrap();
    let resumed = source.pull(&world, scratch.path(), &["--via", "pod", "--resume"]);
    expect_the_file_or_no_set(&resumed, scratch.path(), &source);
    resumed.expect_code(0);
    world.expect_nothing_left();
}

/// Pulls a file that is changed while its streams are under way.
#[track_caller]
fn pull_while(name: &str, change: impl FnOnce(&Source)) -> Outcome {
    let world = world();
    let scratch = world.scratch();
    let mut random = StdRng::seed_from_u64(3);
    let source = Source::create(&world, name, &mut random);
    let modified = fs::metadata(&source.0).unwrap().modified().unwrap();
    // Whole seconds are compared.
    let earlier = modified - std::time::Duration::from_mins(1);
    source.open().set_modified(earlier).unwrap();
    let bytes_per_second = 1 << 20;
    world.fault(fetches(), None, Effect::Throttle { bytes_per_second });
    let pull = ["pull", name, "--no-verify", "--to", "s", "--via", "pod"];
    let mut running = world.start_pvc(scratch.path(), &pull);
    running.until(("GET", FETCH));
    change(&source);
    let outcome = running.end().expect_code(1);
    assert_eq!(complete_sets(scratch.path()), Vec::<PathBuf>::new());
    assert_eq!(outcome.stdout, "");
    world.expect_nothing_left();
    outcome
}

#[test]
fn a_file_that_grows_while_it_is_read_is_no_backup() {
    let grow = |source: &Source| {
        let mut file = File::options().append(true).open(&source.0).unwrap();
        file.write_all(b"more").unwrap();
    };
    pull_while("store.dump_20250104-000000", grow).expect_error(&["changed while it was read"]);
}

#[test]
fn a_file_that_is_truncated_while_it_is_read_is_no_backup() {
    let truncate = |source: &Source| source.open().set_len(1 << 20).unwrap();
    pull_while("store.dump_20250105-000000", truncate).expect_error(&["changed while it was read"]);
}

#[test]
fn a_file_that_is_overwritten_while_it_is_read_is_no_backup() {
    let overwrite = |source: &Source| source.open().write_all_at(b"new", 8 << 20).unwrap();
    pull_while("store.dump_20250106-000000", overwrite)
        .expect_error(&["changed while it was read"]);
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_no_backup() {
    let replace = |source: &Source| {
        let modified = fs::metadata(&source.0).unwrap().modified().unwrap();
        let other = source.0.with_extension("new");
        fs::copy(&source.0, &other).unwrap();
        let file = File::options().write(true).open(&other).unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(&other, &source.0).unwrap();
    };
    pull_while("store.dump_20250107-000000", replace).expect_error(&["changed while it was read"]);
}

#[test]
fn a_file_that_is_deleted_while_it_is_read_is_no_backup() {
    let delete = |source: &Source| fs::remove_file(&source.0).unwrap();
    pull_while("store.dump_20250108-000000", delete).expect_error(&["does not exist in the pod"]);
}
