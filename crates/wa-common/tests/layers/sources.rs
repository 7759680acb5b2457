//! Reads which modules a crate has, and which of them import which, from its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A path in the source that leads from one module of a crate to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
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
pub(crate) struct Sources {
    pub(crate) modules: BTreeSet<String>,
    imports: Vec<Import>,
    /// Every module below the first level, by its full path.
    inner_modules: BTreeSet<Vec<String>>,
    /// Imports between modules of one parent, by the parent's path.
    inner_imports: BTreeMap<Vec<String>, Vec<Import>>,
    /// The module that a name is of which a parent imports from one of its modules, by the parent's path and the name: in
    /// the modules below, `super::Name` leads there.
    names: BTreeMap<(Vec<String>, String), String>,
}

impl Sources {
    /// Reads the crate whose sources are in `directory`, from its root on.
    pub(crate) fn read(directory: &Path) -> Self {
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
                TokenTree::Ident(word) if word == "use" => {
                    for (name, of) in names_in(&tokens[at..]) {
                        self.names.insert((module.to_owned(), name), of);
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
    pub(crate) fn against(&self, layers: &[&[&str]]) -> Vec<String> {
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
    pub(crate) fn inner_circles(&self) -> Vec<String> {
        let within =
            |(parent, imports): (&Vec<String>, &Vec<Import>)| self.circles_in(parent, imports);
        self.inner_imports.iter().flat_map(within).collect()
    }

    /// Circles between modules of the root, a line each. What the root itself defines is above them.
    pub(crate) fn outer_circles(&self) -> Vec<String> {
        self.circles_in(&[], &self.imports)
    }

    fn circles_in(&self, parent: &[String], imports: &[Import]) -> Vec<String> {
        let is_module = |name: &String| {
            let path = [parent, std::slice::from_ref(name)].concat();
            (parent.is_empty() && self.modules.contains(name)) || self.inner_modules.contains(&path)
        };
        let resolved = imports.iter().filter_map(|import| {
            let named = || self.names.get(&(parent.to_owned(), import.to.clone()));
            let to = if is_module(&import.to) {
                &import.to
            } else {
                named().filter(|module| is_module(module))?
            };
            (*to != import.from).then(|| Import {
                to: to.clone(),
                ..import.clone()
            })
        });
        let resolved: Vec<Import> = resolved.collect();
        circles(&resolved.iter().collect::<Vec<_>>())
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
pub(crate) fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon =
        |at| matches!(tokens.get(at), Some(TokenTree::Punct(one)) if one.as_char() == ':');
    is_colon(at) && is_colon(at + 1)
}

/// The first words of what follows `crate::`: one name, or those of a group in braces.
pub(crate) fn firsts(token: &TokenTree) -> Vec<Ident> {
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

/// The names that a `use` brings in which begins with a module, each with that module. The tokens are those after `use`.
fn names_in(tokens: &[TokenTree]) -> Vec<(String, String)> {
    let is_end = |token: &TokenTree| matches!(token, TokenTree::Punct(end) if end.as_char() == ';');
    let end = tokens.iter().position(is_end).unwrap_or(tokens.len());
    let tokens = match &tokens[..end] {
        [TokenTree::Ident(own), rest @ ..] if own == "self" && is_separator(rest, 0) => &rest[2..],
        tokens => tokens,
    };
    match tokens {
        [TokenTree::Ident(module), rest @ ..] if is_separator(rest, 0) => {
            let names = leaves(&rest[2..]).into_iter();
            names.map(|name| (name, module.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

/// The last words of paths, or what they are renamed to.
fn leaves(tokens: &[TokenTree]) -> Vec<String> {
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',');
    let last = |path: &[TokenTree]| match path.last() {
        Some(TokenTree::Ident(name)) => vec![name.to_string()],
        Some(TokenTree::Group(group)) => leaves(&group.stream().into_iter().collect::<Vec<_>>()),
        _ => Vec::new(),
    };
    tokens.split(is_comma).flat_map(last).collect()
}
