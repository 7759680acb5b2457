//! Imports run one way: from a module to those of its own layer and of the layers below, and never in a circle.
//!
//! This reads the sources of this crate, of the engines and of the plugins, file by file as the compiler finds them, tests included, and
//! looks at every path that begins with `crate` or `super`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// The modules of a crate in layers, the top one first.
type Layers = &'static [&'static [&'static str]];

/// Every crate whose layers are held, by its folder.
const CRATES: [(&str, Layers); 10] = [
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
            &["backup"],
            &["preflight", "judged", "silence"],
            &["pg_dump", "key_file", "permissions"],
        ],
    ),
    (
        "backup-volume",
        &[
            &["fallback", "fetch"],
            &["volume"],
            &["access"],
            &["helper"],
            &["discovery"],
            &["run", "permissions"],
            &["change"],
            &["driver", "portworx"],
            &["denied", "selection"],
            &["caller", "files", "names"],
        ],
    ),
    (
        "retraining",
        &[
            &["estimate", "plan"],
            &["active", "etcd"],
            &["patch", "workload"],
            &["settings", "start", "kinds", "capacity", "autoscaler"],
            &["component", "schedule", "formula", "error"],
        ],
    ),
    (
        "store-restore",
        &[
            &["plan"],
            &["checks", "safety_set"],
            &["config", "comparison"],
            &[
                "mapping",
                "source",
                "target",
                "tenants",
                "pgmig",
                "database",
                "encryption_key",
            ],
            &["release", "yaml", "sql"],
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

/// The crates whose modules' own modules are held to having no circles either.
const WITHOUT_INNER_CIRCLES: [&str; 1] = ["kube-sandbox"];

/// A path in the source that leads from one module of a crate to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: String,
    to: String,
    file: PathBuf,
    line: usize,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            file,
            line,
        } = self;
        write!(f, "{}:{line}: {from} imports {to}", file.display())
    }
}

/// What is read of one crate.
#[derive(Debug, Default)]
struct Sources {
    modules: BTreeSet<String>,
    imports: Vec<Import>,
    /// Every module below the first level, by its full path.
    inner_modules: BTreeSet<Vec<String>>,
    /// Imports between modules of one parent, by the parent's path.
    inner_imports: BTreeMap<Vec<String>, Vec<Import>>,
}

impl Sources {
    /// Reads the crate whose sources are in `directory`, from its root on.
    fn read(directory: &Path) -> Self {
        let mut sources = Self::default();
        let root = ["lib.rs", "main.rs"].map(|name| directory.join(name));
        let root = root.iter().find(|root| root.exists());
        let root = root.unwrap_or_else(|| panic!("no root in {}", directory.display()));
        sources.read_file(root, directory, &[]);
        sources
    }

    /// Reads the module `module`, whose own modules are in `directory`.
    fn read_file(&mut self, file: &Path, directory: &Path, module: &[String]) {
        let text = fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_tokens(tokens, file, directory, module);
    }

    fn read_tokens(
        &mut self,
        tokens: TokenStream,
        file: &Path,
        directory: &Path,
        module: &[String],
    ) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        // What `#[path = "…"]` says of the module that follows.
        let mut path = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(word) if word == "mod" => {
                    let Some(TokenTree::Ident(name)) = tokens.get(at) else {
                        continue;
                    };
                    let name = name.to_string();
                    let inner = [module, std::slice::from_ref(&name)].concat();
                    if module.is_empty() {
                        self.modules.insert(name.clone());
                    } else {
                        self.inner_modules.insert(inner.clone());
                    }
                    match tokens.get(at + 1) {
                        Some(TokenTree::Group(body)) => {
                            let directory = directory.join(&name);
                            self.read_tokens(body.stream(), file, &directory, &inner);
                            at += 2;
                        }
                        _ => self.read_module(path.take(), file, directory, &inner),
                    }
                }
                TokenTree::Ident(word) if is_separator(&tokens, at) => {
                    let start = match word.to_string().as_str() {
                        "crate" => Some(module.len()),
                        "super" => Some(1),
                        _ => None,
                    };
                    // A word in the middle of a path is none of its beginnings.
                    let begins = at < 2 || !is_separator(&tokens, at.saturating_sub(3));
                    if let Some(mut up) = start.filter(|_| begins) {
                        at += 2;
                        while matches!(tokens.get(at), Some(TokenTree::Ident(word)) if word == "super")
                            && is_separator(&tokens, at + 1)
                        {
                            up += 1;
                            at += 3;
                        }
                        let Some(mut level) = module.len().checked_sub(up) else {
                            continue;
                        };
                        // Down to where the path leaves the module it stands in.
                        while let (Some(TokenTree::Ident(word)), Some(own)) =
                            (tokens.get(at), module.get(level))
                            && word == own
                            && is_separator(&tokens, at + 1)
                        {
                            level += 1;
                            at += 3;
                        }
                        for to in tokens.get(at).into_iter().flat_map(firsts) {
                            self.add(module, level, &to, file);
                        }
                    }
                }
                TokenTree::Group(group) => {
                    path = path_in(group).or(path);
                    self.read_tokens(group.stream(), file, directory, module);
                }
                _ => {}
            }
        }
    }

    /// Reads the module that `mod name;` in `file` stands for.
    fn read_module(
        &mut self,
        path: Option<String>,
        file: &Path,
        directory: &Path,
        module: &[String],
    ) {
        let name = module.last().map_or("", String::as_str);
        if let Some(path) = path {
            let beside = file.with_file_name(path);
            let directory = beside.parent().unwrap_or(directory).to_owned();
            return self.read_file(&beside, &directory, module);
        }
        let inner = directory.join(name);
        let beside = directory.join(format!("{name}.rs"));
        if beside.exists() {
            self.read_file(&beside, &inner, module);
        } else {
            self.read_file(&inner.join("mod.rs"), &inner, module);
        }
    }

    /// Notes an import by `module` of what `to` is in the parent of its module at `level`.
    fn add(&mut self, module: &[String], level: usize, to: &Ident, file: &Path) {
        // The root may import everything, and so may a module what is below it.
        let Some(from) = module.get(level).filter(|from| to != *from) else {
            return;
        };
        let imports = match &module[..level] {
            [] => &mut self.imports,
            parent => self.inner_imports.entry(parent.to_owned()).or_default(),
        };
        imports.push(Import {
            from: from.clone(),
            to: to.to_string(),
            file: file.to_owned(),
            line: to.span().start().line,
        });
    }

    /// What is against `layers`, a line each.
    fn against(&self, layers: &[&[&str]]) -> Vec<String> {
        let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
        let mut problems: Vec<String> = self
            .modules
            .iter()
            .filter(|module| layer(module).is_none())
            .map(|module| format!("module {module} stands in no layer"))
            .collect();
        for import in &self.imports {
            match (layer(&import.from), layer(&import.to)) {
                (Some(from), Some(to)) if to < from => {
                    problems.push(format!("{import}, which is above it"));
                }
                // What the root itself defines is above everything.
                (_, None) if !self.modules.contains(&import.to) => {
                    problems.push(format!("{import}, which is not a module"));
                }
                _ => {}
            }
        }
        // Where nothing runs up, a circle stays within a layer.
        let is_sideways = |import: &&Import| layer(&import.from) == layer(&import.to);
        let sideways: Vec<&Import> = self.imports.iter().filter(is_sideways).collect();
        problems.extend(circles(&sideways));
        problems
    }
}

impl Sources {
    /// Circles between modules of one parent, a line each. What the parent itself defines is above them.
    fn inner_circles(&self) -> Vec<String> {
        let within = |(parent, imports): (&Vec<String>, &Vec<Import>)| {
            let is_module = |import: &&Import| {
                let path = [parent.as_slice(), std::slice::from_ref(&import.to)].concat();
                self.inner_modules.contains(&path)
            };
            circles(&imports.iter().filter(is_module).collect::<Vec<_>>())
        };
        self.inner_imports.iter().flat_map(within).collect()
    }
}

/// Those of the imports that are part of a circle.
fn circles(imports: &[&Import]) -> Vec<String> {
    let mut targets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Import { from, to, .. } in imports {
        targets.entry(from).or_default().insert(to);
    }
    let leads_to = |from: &str, to: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            if module == to {
                return true;
            }
            if seen.insert(module) {
                next.extend(targets.get(module).into_iter().flatten());
            }
        }
        false
    };
    imports
        .iter()
        .filter(|import| leads_to(&import.to, &import.from))
        .map(|import| format!("{import}, which leads back to it"))
        .collect()
}

/// Whether `::` stands there.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon =
        |at| matches!(tokens.get(at), Some(TokenTree::Punct(one)) if one.as_char() == ':');
    is_colon(at) && is_colon(at + 1)
}

/// The first words of what follows `crate::`: one name, or those of a group in braces.
fn firsts(token: &TokenTree) -> Vec<Ident> {
    match token {
        TokenTree::Ident(name) => vec![name.clone()],
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            let mut names = Vec::new();
            let mut first = true;
            for token in group.stream() {
                match token {
                    TokenTree::Ident(name) if first => {
                        names.push(name);
                        first = false;
                    }
                    TokenTree::Punct(comma) if comma.as_char() == ',' => first = true,
                    _ => {}
                }
            }
            names
        }
        _ => Vec::new(),
    }
}

/// The file of `[path = "…"]`.
fn path_in(attribute: &Group) -> Option<String> {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match tokens.as_slice() {
        [
            TokenTree::Ident(path),
            TokenTree::Punct(_),
            TokenTree::Literal(file),
        ] if path == "path" => Some(file.to_string().trim_matches('"').to_owned()),
        _ => None,
    }
}

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
        if WITHOUT_INNER_CIRCLES.contains(&name) {
            problems.extend(sources.inner_circles());
        }
    }
    let problems = problems.join("\n");
    let prefix = format!("{}/", crates().display());
    assert!(problems.is_empty(), "\n{}", problems.replace(&prefix, ""));
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
const ENGINES: [&str; 2] = ["store-backup", "backup-volume"];

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
