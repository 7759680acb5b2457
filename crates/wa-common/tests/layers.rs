//! Imports run one way: from a module to those of its own layer and of the layers below, and never in a circle; nor do
//! the modules of any other module.
//!
//! This reads the sources of every crate, file by file as the compiler finds them, tests included, and looks at every path
//! that begins with `crate` or `super`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "layers/sources.rs"]
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use sources::{Sources, firsts, is_separator};

/// The modules of a crate in layers, the top one first.
type Layers = &'static [&'static [&'static str]];

/// Every crate whose layers are held, by its folder.
const CRATES: [(&str, Layers); 11] = [
    (
        "wa-common",
        &[
            &["cli"],
            &["run", "preflight", "assistant"],
            &["cluster"],
            &["report"],
        ],
    ),
    (
        "store-backup",
        &[
            &["safety"],
            &["backup", "live"],
            &["preflight", "judged", "silence", "tenants"],
            &["pg_dump", "key_file", "permissions", "rows", "sql"],
        ],
    ),
    (
        "backup-volume",
        &[
            &["fallback", "fetch"],
            &["volume"],
            &["access"],
            &["helper", "reach"],
            &["discovery"],
            &["run", "permissions"],
            &["change"],
            &["driver", "portworx"],
            &["denied", "selection"],
            &["caller", "files", "names", "remedy"],
        ],
    ),
    (
        "backup-jobs",
        &[
            &["follow", "written", "change"],
            &["trigger", "overview"],
            &["end", "manifest", "permissions", "settings"],
            &["pod", "error", "missed"],
        ],
    ),
    (
        "retraining",
        &[
            &["checks", "doctor"],
            &["procedure", "training"],
            &["estimate", "plan"],
            &["active", "etcd"],
            &["patch", "workload", "operator"],
            &[
                "settings",
                "start",
                "kinds",
                "capacity",
                "autoscaler",
                "rollout",
            ],
            &["component", "schedule", "formula", "error"],
        ],
    ),
    (
        "store-restore",
        &[
            &["procedure"],
            &["plan"],
            &["checks", "safety_set", "rehearsal"],
            &["permissions"],
            &["config", "comparison", "interview"],
            &[
                "mapping",
                "source",
                "workspaces",
                "target",
                "pgmig",
                "database",
                "encryption_key",
            ],
            &["release", "yaml", "pg_restore"],
        ],
    ),
    ("kubectl-wa-backup", &[&["commands"]]),
    ("kubectl-wa-restore", &[&["commands"]]),
    ("kubectl-wa-pvc", &[&["commands"]]),
    ("kubectl-wa-retrain", &[&["commands"]]),
    (
        "kube-sandbox",
        &[
            &["cluster"],
            &["streams"],
            &["api", "controllers", "node"],
            &["faults", "store", "disks"],
            &["meta", "preflight", "leftovers"],
        ],
    ),
];

/// The folder of all crates.
fn crates() -> &'static Path {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.parent().unwrap()
}

#[test]
fn imports_run_down_and_never_in_a_circle() {
    let mut problems = Vec::new();
    for (name, layers) in CRATES {
        let sources = Sources::read(&crates().join(name).join("src"));
        assert!(!sources.modules.is_empty(), "nothing was read of {name}");
        problems.extend(sources.against(layers));
    }
    expect_none(&problems);
}

#[track_caller]
fn expect_none(problems: &[String]) {
    let problems = problems.join("\n");
    let prefix = format!("{}/", crates().display());
    assert!(problems.is_empty(), "\n{}", problems.replace(&prefix, ""));
}

#[test]
fn no_modules_of_any_crate_import_each_other_in_a_circle() {
    let mut problems = Vec::new();
    for entry in fs::read_dir(crates()).unwrap() {
        let source = entry.unwrap().path().join("src");
        let sources = Sources::read(&source);
        problems.extend(sources.outer_circles());
        problems.extend(sources.inner_circles());
    }
    expect_none(&problems);
}

#[test]
fn every_plugin_has_its_layers() {
    let plugins = fs::read_dir(crates()).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with("kubectl-").then_some(name)
    });
    for plugin in plugins {
        assert!(CRATES.iter().any(|(name, _)| *name == plugin), "{plugin}");
    }
}

/// The crates that work for any command line, by their folders: they must not know one.
const ENGINES: [&str; 3] = ["store-backup", "backup-volume", "backup-jobs"];

#[test]
fn no_engine_knows_a_command_line() {
    for name in ENGINES {
        let directory = crates().join(name);
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("\nclap"), "{name} depends on clap");
        for file in sources_in(&directory.join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let tokens: TokenStream = text.parse().unwrap();
            assert!(!names_cli(tokens), "{} uses wa_common::cli", file.display());
        }
    }
}

/// Every file with Rust in it.
fn sources_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| {
        if path.is_dir() {
            sources_in(&path)
        } else {
            vec![path]
        }
    };
    paths.flat_map(files).collect()
}

/// Whether a path leads into `wa_common::cli`.
fn names_cli(tokens: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(name) if name == "wa_common" && is_separator(&tokens, at + 1) => {
            let next = tokens.get(at + 3).into_iter().flat_map(firsts);
            next.into_iter().any(|first| first == "cli")
        }
        TokenTree::Group(group) => names_cli(group.stream()),
        _ => false,
    })
}

#[test]
fn a_path_into_the_command_line_is_found_wherever_it_stands() {
    let found = |text: &str| names_cli(text.parse().unwrap());
    assert!(found("use wa_common::cli::Context;"));
    assert!(found("use wa_common::{cluster::Cluster, cli};"));
    assert!(found("fn f(context: &wa_common::cli::Context) {}"));
    assert!(!found("use wa_common::cluster::Cluster; // wa_common::cli"));
}

/// What is against layers of `top` over `left` and `right` over `bottom`, in a crate of these files.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let root = "mod top; mod left; mod right; mod bottom;";
    let modules = ["top", "left", "right", "bottom"].map(|name| (name, ""));
    for (name, text) in [("lib", root)].iter().chain(&modules).chain(files) {
        let path = directory.path().join(format!("{name}.rs"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let sources = Sources::read(directory.path());
    let prefix = format!("{}/", directory.path().display());
    let problems = sources.against(&[&["top"], &["left", "right"], &["bottom"]]);
    problems
        .iter()
        .map(|problem| problem.replace(&prefix, ""))
        .collect()
}

#[test]
fn imports_down_and_sideways_are_none_of_the_problems() {
    let down = "use crate::{left::A, bottom};\nfn f() { super::right::f() }";
    let none: [String; 0] = [];
    assert_eq!(
        problems(&[("top", down), ("left", "use crate::right::B;")]),
        none
    );
    // Words of comments and texts are no imports, and neither is a module's way into itself.
    let words = "//! crate::top\nfn f() { g(\"crate::top\"); crate::bottom::g() }\nmod inner { use super::top; mod top {} }";
    assert_eq!(problems(&[("bottom", words)]), none);
}

#[test]
fn an_import_that_runs_up_is_found_wherever_it_stands() {
    let up = |line: usize, file: &str| {
        vec![format!(
            "{file}.rs:{line}: bottom imports top, which is above it"
        )]
    };
    for (text, line) in [
        ("\nuse crate::top::A;", 2),
        ("use super::top;", 1),
        ("use crate::{\n    left::B,\n    top::A,\n};\n", 3),
        ("fn f() {\n    println!(\"{}\", crate::top::f());\n}", 2),
        (
            "#[cfg(test)]\nmod tests {\n    use super::super::top;\n}",
            3,
        ),
    ] {
        let found = problems(&[("bottom", text)]);
        assert!(found.ends_with(&up(line, "bottom")), "{found:?}");
    }
    let inner = [
        ("bottom", "mod inner;\n#[path = \"aside.rs\"] mod other;"),
        ("bottom/inner", "use super::super::top;"),
        ("aside", "\n\nuse super::super::top;"),
    ];
    let found = [up(1, "bottom/inner"), up(3, "aside")].concat();
    assert_eq!(problems(&inner), found);
}

#[test]
fn a_circle_in_one_layer_is_found() {
    let circle = [
        ("left", "use crate::right::A;"),
        ("right", "use crate::left::B;"),
    ];
    assert_eq!(
        problems(&circle),
        [
            "left.rs:1: left imports right, which leads back to it",
            "right.rs:1: right imports left, which leads back to it",
        ]
    );
}

#[test]
fn what_stands_in_no_layer_is_found() {
    let new = [("lib", "mod top; mod new;"), ("new", "use crate::Root;")];
    assert_eq!(
        problems(&new),
        [
            "module new stands in no layer",
            "new.rs:1: new imports Root, which is not a module",
        ]
    );
}

#[test]
fn a_circle_below_a_module_is_found() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("lib", "mod outer;"),
        ("outer", "mod one; mod two; mod three; fn shared() {}"),
        ("outer/one", "use super::two::A; use super::shared;"),
        ("outer/two", "use crate::outer::three;"),
        (
            "outer/three",
            "fn f() { super::one::f() }\nmod inner { use super::super::two; }",
        ),
    ] {
        let path = directory.path().join(format!("{name}.rs"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let circles = Sources::read(directory.path()).inner_circles();
    let prefix = format!("{}/outer/", directory.path().display());
    let circles: Vec<_> = circles.iter().map(|one| one.replace(&prefix, "")).collect();
    assert_eq!(
        circles,
        [
            "one.rs:1: one imports two, which leads back to it",
            "two.rs:1: two imports three, which leads back to it",
            "three.rs:1: three imports one, which leads back to it",
            "three.rs:2: three imports two, which leads back to it",
        ]
    );
}

#[test]
fn a_circle_through_names_that_the_parent_imports_is_found() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "lib",
            "mod one; mod two; mod three; pub use one::{A, inner::B as C}; use self::three::T; struct Own;",
        ),
        ("one", "use crate::two::D; use super::A;"),
        ("two", "use super::{C, Own};\nuse crate::T;"),
        ("three", "use super::Own;"),
    ] {
        fs::write(directory.path().join(format!("{name}.rs")), text).unwrap();
    }
    let circles = Sources::read(directory.path()).outer_circles();
    let prefix = format!("{}/", directory.path().display());
    let circles: Vec<_> = circles.iter().map(|one| one.replace(&prefix, "")).collect();
    assert_eq!(
        circles,
        [
            "one.rs:1: one imports two, which leads back to it",
            "two.rs:1: two imports one, which leads back to it",
        ]
    );
}
