//! What a person sees on a terminal, and what a program reads through a pipe.

use std::fs;
use std::path::Path;
use std::time::Instant;

use end_to_end::{World, binary, dump_requests, run};
use kube_sandbox::faults::Effect;
use unicode_width::UnicodeWidthStr as _;
use wa_sandbox::world::Profile;

/// What clears the line of the progress.
const CLEARED: &str = "\u{1b}[2K";

/// What `plugin` with these words as its arguments shows on a terminal of so many columns, without colours.
fn on_terminal(world: &World, columns: usize, plugin: &str, words: &str) -> String {
    on_terminal_in(Path::new("."), world, columns, plugin, words)
}

/// The same in a directory.
fn on_terminal_in(
    directory: &Path,
    world: &World,
    columns: usize,
    plugin: &str,
    words: &str,
) -> String {
    let program = binary(plugin);
    let command = format!(
        "sh -c 'stty cols {columns}; cd {}; exec {} {words} --color never'",
        directory.display(),
        program.display()
    );
    let shown = run(&mut world.on_terminal(&command)).expect_code(0).stdout;
    shown.replace("\r\n", "\n")
}

/// The same through a pipe, standard output and standard error.
fn through_a_pipe(world: &World, plugin: &str, words: &str) -> String {
    let mut command = world.command(binary(plugin));
    run(command.args(words.split(' ')))
        .expect_code(0)
        .everything()
}

#[test]
fn lines_are_broken_between_words_on_a_terminal_and_not_at_all_in_a_pipe() {
    let world = World::shared();
    for (plugin, words) in [
        ("kubectl-wa-backup", "check -o wide"),
        ("kubectl-wa-retrain", "check"),
        ("kubectl-wa-restore", "upgrade-path"),
    ] {
        let piped = through_a_pipe(&world, plugin, words);
        let longest = piped.lines().map(|line| line.chars().count()).max();
        for columns in [80, 120] {
            let shown = on_terminal(&world, columns, plugin, words);
            let lines = || shown.lines().map(|line| line.chars().count());
            assert!(lines().all(|width| width <= columns), "{shown}");
            let is_broken = shown.lines().count() > piped.lines().count();
            assert_eq!(is_broken, longest > Some(columns), "{shown}\n{piped}");
            // No word is broken.
            let read = |text: &str| -> Vec<String> {
                text.split_whitespace().map(str::to_owned).collect()
            };
            assert_eq!(read(&shown), read(&piped));
        }
    }
}

#[test]
fn tables_fit_terminals_of_80_and_of_120_columns_with_no_word_broken() {
    // Its own: it changes what the database holds.
    let world = World::start(Profile::default());
    // Its path fits beside a label, unlike that of a scratch directory.
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    world.backup(here, &["create"]).expect_code(0);
    world.sql(
        "DELETE FROM workspace; INSERT INTO tenant (tenant_id, instance_id, name, region, created, updated)
         SELECT id, id, 'Assistant of the whole group of companies in all its languages', 'us-south', now(), now()
         FROM (SELECT gen_random_uuid() AS id) AS ids",
    );
    world.backup(here, &["create"]).expect_code(0);
    fs::write(here.join("expired"), "ey.expired\n").unwrap();
    undone_restore(&world, here);
    for (plugin, words) in [
        ("kubectl-wa-backup", "status wa-backups"),
        ("kubectl-wa-backup", "list -o wide"),
        (
            "kubectl-wa-backup",
            "prune --keep-last 1 --keep-daily 2 --keep-weekly 3 --keep-monthly 4 --dry-run",
        ),
        ("kubectl-wa-backup", "diff latest~1 latest"),
        ("kubectl-wa-backup", "inspect latest"),
        ("kubectl-wa-backup", "schedule show -o wide"),
        ("kubectl-wa-pvc", "list"),
        ("kubectl-wa-restore", "mapping latest"),
        ("kubectl-wa-restore", "status -o wide"),
        ("kubectl-wa-restore", "upgrade-path -o wide"),
        ("kubectl-wa-retrain", "plan --replicas 4"),
        ("kubectl-wa-retrain", "estimate -o wide"),
    ] {
        let mut command = world.command(binary(plugin));
        command.args(words.split(' ')).current_dir(here);
        let piped = run(&mut command).expect_code(0).stdout;
        for columns in [80, 120] {
            let shown = on_terminal_in(here, &world, columns, plugin, words);
            for line in shown.lines() {
                let has_blanks = line.trim().contains(' ');
                assert!(line.width() <= columns || !has_blanks, "{line}\n{shown}");
            }
            // Ages and times pass.
            let lasting = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
            for word in piped.split_whitespace().filter(lasting) {
                assert!(shown.contains(word), "{word}: {shown}");
            }
        }
    }
}

/// A restore with the token in `expired`, that is begun, and undone before anything stops.
fn undone_restore(world: &World, directory: &Path) {
    let pgmig = binary("pgmig").display().to_string();
    let run = ["run", "latest", "--yes=wa", "--no-safety-backup"];
    let tokens = ["--rc-form", "user-tokens", "--token-file", "expired"];
    let all = [&run[..], &tokens, &["--pgmig", &pgmig]].concat();
    let refused = world.restore(directory, &all).expect_code(1);
    refused.expect_error(&["undone"]);
}

#[test]
fn what_is_copied_into_a_file_or_a_shell_is_whole_on_a_terminal_too() {
    let world = World::shared();
    let piped = through_a_pipe(&world, "kubectl-wa-backup", "rbac");
    let longest = piped.lines().map(|line| line.chars().count()).max();
    assert!(longest > Some(60), "{piped}");
    let shown = on_terminal(&world, 60, "kubectl-wa-backup", "rbac");
    assert_eq!(shown.trim_end(), piped.trim_end());
}

#[test]
fn progress_is_drawn_four_times_a_second_at_most_and_gives_way_to_lines() {
    let world = World::shared();
    let bytes_per_second = 50_000;
    world.fault(dump_requests(), None, Effect::Throttle { bytes_per_second });
    let scratch = world.scratch();
    let words = format!("create -v 6 --to {}", scratch.path().display());
    let began = Instant::now();
    let shown = on_terminal(&world, 80, "kubectl-wa-backup", &words);
    let seconds = began.elapsed().as_secs_f64();

    let (frames, most) = (shown.matches("/s  ").count(), seconds * 4.0 + 1.0);
    assert!(frames > 1, "{shown:?}");
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let frames = frames as f64;
    assert!(frames <= most, "{frames} in {seconds} s: {shown:?}");
    // What is left of a line when all has been cleared: none has both.
    for line in shown.lines() {
        let left = line.rsplit(CLEARED).next().unwrap_or_default();
        assert!(!left.contains("/s  "), "{line:?}");
    }
    assert!(
        shown.contains("\nverified             7 tables"),
        "{shown:?}"
    );
}
