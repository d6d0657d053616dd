//! Which source file of a crate imports which, read from the text of the files.
//!
//! A file imports another when it uses a name that the other defines, by `use` or by a path; a name that was re-exported on the
//! way counts for the file that defines it. These are no imports: `mod x;`, a re-export of a name that the file itself does not use,
//! and code under `#[cfg(test)]`.
//!
//! *Not here*: methods (they need types to be resolved) and names that a macro makes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::source::blank;

/// Importing file -> imported file -> the names it takes from there.
pub type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The imports among the files of one target. `root` is its first file (`src/lib.rs`), `read` gives a file's text by its name.
///
/// # Panics
/// If a file that a `mod` declares does not exist.
pub fn imports(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Imports {
    let mut target = Target { modules: BTreeMap::new(), read };
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    target.load(Vec::new(), root.to_owned(), folder.to_owned());
    target.imports()
}

/// The circles among the files: groups of files each of which imports every other, directly or by way of others.
pub fn circles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = imports.keys().map(|file| (file, reachable(imports, file))).collect();
    let mut found = BTreeSet::new();
    for (file, others) in &reach {
        if others.contains(file) {
            let mutual = others.iter().filter(|other| reach.get(**other).is_some_and(|back| back.contains(file)));
            found.insert(mutual.map(|other| (*other).clone()).collect::<BTreeSet<String>>());
        }
    }
    found.into_iter().collect()
}

/// A circle in words: one line for each import inside it.
pub fn describe(circle: &BTreeSet<String>, imports: &Imports) -> String {
    let mut text = format!("circle of {} files\n", circle.len());
    for from in circle {
        for (to, names) in imports.get(from).into_iter().flatten().filter(|(to, _)| circle.contains(*to)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  {from} -> {to}: {}", names.join(", "));
        }
    }
    text
}

fn reachable<'a>(imports: &'a Imports, from: &'a String) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        open.extend(imports.get(file).into_iter().flat_map(BTreeMap::keys).filter(|to| found.insert(*to)));
    }
    found
}

type ModulePath = Vec<String>;

/// One name that a `use` brings into a module.
struct Use {
    path: Vec<String>,
    /// The name in this module; `*` for all names of the module `path`.
    alias: String,
    public: bool,
}

/// What one module says, without its tests.
#[derive(Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    uses: Vec<Use>,
    paths: BTreeSet<Vec<String>>,
    /// Every identifier outside of `use`.
    words: BTreeSet<String>,
}

struct Target<'a> {
    modules: BTreeMap<ModulePath, Module>,
    read: &'a dyn Fn(&str) -> Option<String>,
}

impl Target<'_> {
    /// Reads a module and those below it. `folder` is where the files of its children are.
    fn load(&mut self, path: ModulePath, file: String, folder: String) {
        let text = (self.read)(&file).unwrap_or_else(|| panic!("{file} declares a module, but there is no such file"));
        let code = blank(&text);
        let tokens = without_tests(&tokens(&code));
        self.module(path, &file, &folder, &tokens);
    }

    fn module(&mut self, path: ModulePath, file: &str, folder: &str, tokens: &[&str]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut at = 0;
        while at < tokens.len() {
            let (public, keyword) = item_start(tokens, at);
            let end = item_end(tokens, keyword);
            match tokens.get(keyword).copied() {
                Some("mod") => {
                    let name = tokens[keyword + 1].to_owned();
                    let below = [path.clone(), vec![name.clone()]].concat();
                    let child_folder = format!("{folder}/{name}");
                    if tokens.get(keyword + 2) == Some(&"{") {
                        self.module(below, file, &child_folder, &tokens[keyword + 3..end.max(keyword + 4) - 1]);
                    } else if (self.read)(&format!("{child_folder}.rs")).is_some() {
                        self.load(below, format!("{child_folder}.rs"), child_folder);
                    } else {
                        self.load(below, format!("{child_folder}/mod.rs"), child_folder);
                    }
                    module.children.insert(name);
                }
                Some("use") => use_tree(&tokens[keyword + 1..end - 1], &[], public, &mut module.uses),
                _ => module.item(&tokens[keyword..end]),
            }
            at = end;
        }
        self.modules.insert(path, module);
    }

    fn imports(&self) -> Imports {
        let mut found = Imports::new();
        for (path, module) in &self.modules {
            let mut taken: Vec<(ModulePath, String)> = Vec::new();
            for used in &module.uses {
                if used.alias == "*" {
                    taken.extend(module.words.iter().filter_map(|word| self.through_glob(path, used, word, 0)));
                } else if !used.public || module.words.contains(&used.alias) {
                    taken.extend(self.resolve(path, &used.path, 0));
                }
            }
            taken.extend(module.paths.iter().filter_map(|names| self.resolve(path, names, 0)));
            for (definer, name) in taken.into_iter().filter(|(_, name)| !name.is_empty()) {
                let file = &self.modules[&definer].file;
                if *file != module.file {
                    found.entry(module.file.clone()).or_default().entry(file.clone()).or_default().insert(name);
                }
            }
        }
        found
    }

    /// The module that defines what `names` means in module `from`, and the name it has there, which is empty for a module.
    /// `None` for what is not of this target.
    fn resolve(&self, from: &ModulePath, names: &[String], depth: usize) -> Option<(ModulePath, String)> {
        let (first, rest) = names.split_first()?;
        match first.as_str() {
            "crate" => self.descend(Vec::new(), rest, depth),
            "self" => self.descend(from.clone(), rest, depth),
            "super" => {
                let (_, above) = from.split_last()?;
                if rest.first().is_some_and(|next| next == "super") {
                    return self.resolve(&above.to_vec(), rest, depth);
                }
                self.descend(above.to_vec(), rest, depth)
            }
            _ => {
                let module = &self.modules[from];
                let known = module.children.contains(first) || module.uses.iter().any(|used| used.alias == *first || used.alias == "*");
                if known { self.descend(from.clone(), names, depth) } else { None }
            }
        }
    }

    fn descend(&self, mut at: ModulePath, names: &[String], depth: usize) -> Option<(ModulePath, String)> {
        // A module may use another's names and that one its own.
        if depth > 16 {
            return None;
        }
        for (index, name) in names.iter().enumerate() {
            let module = &self.modules[&at];
            if module.children.contains(name) {
                at.push(name.clone());
                continue;
            }
            if module.items.contains(name) {
                return Some((at, name.clone()));
            }
            if let Some(used) = module.uses.iter().find(|used| used.alias == *name) {
                return self.resolve_use(&at, used, &names[index + 1..], depth);
            }
            return module.uses.iter().filter(|used| used.alias == "*").find_map(|used| self.through_glob(&at, used, name, depth));
        }
        Some((at, String::new()))
    }

    /// What the path of a `use`, followed by `rest`, means. A path of two modules of one name ends with the outer one.
    fn resolve_use(&self, at: &ModulePath, used: &Use, rest: &[String], depth: usize) -> Option<(ModulePath, String)> {
        if used.path.first() == Some(&used.alias) && !self.modules[at].children.contains(&used.alias) {
            return None;
        }
        self.resolve(at, &[used.path.clone(), rest.to_vec()].concat(), depth + 1)
    }

    fn through_glob(&self, at: &ModulePath, glob: &Use, name: &str, depth: usize) -> Option<(ModulePath, String)> {
        let (target, item) = self.resolve(at, &glob.path, depth + 1)?;
        // The variants of an enum: the enum itself is what is used.
        if !item.is_empty() {
            return Some((target, item));
        }
        if target == *at {
            return None;
        }
        let module = &self.modules[&target];
        let there = module.children.contains(name) || module.items.contains(name) || module.uses.iter().any(|used| used.alias == name);
        let globs = || module.uses.iter().any(|used| used.alias == "*" && used.public);
        if there || globs() { self.descend(target, &[name.to_owned()], depth + 1) } else { None }
    }
}

impl Module {
    /// Takes in one item that is neither a module nor a `use`.
    fn item(&mut self, tokens: &[&str]) {
        let kinds = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];
        let modifiers = ["unsafe", "async", "extern", "default"];
        let kind = (0..tokens.len()).find(|at| !modifiers.contains(&tokens[*at]) && !is_const_function(tokens, *at));
        if let Some(kind) = kind.filter(|at| kinds.contains(&tokens[*at])) {
            let name = tokens[kind + 1..].iter().find(|token| !["mut", "!"].contains(*token));
            self.items.extend(name.map(|name| (*name).to_owned()));
        }
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" {
                let end = item_end(tokens, at);
                use_tree(&tokens[at + 1..end - 1], &[], false, &mut self.uses);
                at = end;
                continue;
            }
            let mut path = Vec::new();
            while tokens.get(at).is_some_and(|token| is_identifier(token)) {
                path.push(tokens[at].to_owned());
                at += 1;
                if tokens.get(at) != Some(&"::") || !tokens.get(at + 1).is_some_and(|token| is_identifier(token)) {
                    break;
                }
                at += 1;
            }
            self.words.extend(path.iter().cloned());
            if path.len() > 1 {
                self.paths.insert(path);
            } else if path.is_empty() {
                at += 1;
            }
        }
    }
}

/// The parts of a blanked text: identifiers, `::`, and single characters. Lifetimes and numbers are left out.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let length = match first {
            '\'' => 1 + word(&rest[1..]),
            ':' if rest.starts_with("::") => 2,
            c if c.is_alphanumeric() || c == '_' => word(rest),
            c => c.len_utf8(),
        };
        if first != '\'' && !first.is_numeric() {
            found.push(&rest[..length]);
        }
        rest = rest[length..].trim_start();
    }
    found
}

fn is_identifier(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_') && token != "as"
}

/// The tokens without what is marked as a test.
fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "#" && tokens.get(at + 1) == Some(&"[") {
            let end = closed(tokens, at + 1);
            let attribute = &tokens[at..end];
            if attribute.get(2) == Some(&"cfg") && attribute.contains(&"test") && !attribute.contains(&"not") {
                at = item_end(tokens, item_start(tokens, end).1);
            } else {
                // An attribute names nothing of the crate.
                at = end;
            }
            continue;
        }
        kept.push(tokens[at]);
        at += 1;
    }
    kept
}

/// Whether the item at `at` is visible outside of its module, and where it begins behind attributes and visibility.
fn item_start(tokens: &[&str], mut at: usize) -> (bool, usize) {
    while tokens.get(at) == Some(&"#") {
        at = closed(tokens, if tokens.get(at + 1) == Some(&"!") { at + 2 } else { at + 1 });
    }
    if tokens.get(at) != Some(&"pub") {
        return (false, at);
    }
    (true, if tokens.get(at + 1) == Some(&"(") { closed(tokens, at + 1) } else { at + 1 })
}

/// Behind the item whose first word is at `at`: behind its semicolon or its body.
fn item_end(tokens: &[&str], at: usize) -> usize {
    let first = tokens.get(at).copied().unwrap_or_default();
    let semicolon = ["const", "static", "type", "let", "use"].contains(&first) && !is_const_function(tokens, at);
    let mut end = at;
    while end < tokens.len() {
        match tokens[end] {
            ";" => return end + 1,
            "{" if !semicolon => return closed(tokens, end),
            "{" | "(" | "[" => end = closed(tokens, end),
            _ => end += 1,
        }
    }
    end
}

/// Whether the word at `at` is the `const` of a function.
fn is_const_function(tokens: &[&str], at: usize) -> bool {
    tokens.get(at) == Some(&"const") && tokens.get(at + 1).is_some_and(|next| ["fn", "unsafe", "async", "extern"].contains(next))
}

/// Behind the bracket that closes the one at `open`.
fn closed(tokens: &[&str], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Takes the tree of a `use` apart: `a::{self, b as c, d::*}`.
fn use_tree(tokens: &[&str], above: &[String], public: bool, found: &mut Vec<Use>) {
    let mut at = 0;
    let mut path = above.to_vec();
    while at < tokens.len() {
        match tokens[at] {
            "::" => at += 1,
            "{" => {
                let end = closed(tokens, at);
                use_tree(&tokens[at + 1..end - 1], &path, public, found);
                path.clear();
                at = end;
            }
            "as" => {
                found.push(Use { path: std::mem::take(&mut path), alias: tokens[at + 1].to_owned(), public });
                at += 2;
            }
            "," => {
                found.extend(end_of_use(path, above, public));
                path = above.to_vec();
                at += 1;
            }
            "*" => {
                found.push(Use { path: std::mem::take(&mut path), alias: "*".to_owned(), public });
                at += 1;
            }
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
    found.extend(end_of_use(path, above, public));
}

/// One name of a tree. `{self}` brings in the module before it.
fn end_of_use(mut path: Vec<String>, above: &[String], public: bool) -> Option<Use> {
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    } else if path.len() <= above.len() {
        return None;
    }
    let alias = path.last()?.clone();
    Some(Use { path, alias, public })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports of a made-up crate, one line each.
    fn check(files: &[(&str, &str)], expected: &[&str]) -> Imports {
        let read = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
        let imports = imports("src/lib.rs", &read);
        let line = |from: &str, to: &str, names: &BTreeSet<String>| {
            let short = |file: &str| file.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
            format!("{} -> {}: {}", short(from), short(to), names.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
        };
        let lines: Vec<String> = imports.iter().flat_map(|(from, tos)| tos.iter().map(move |(to, names)| line(from, to, names))).collect();
        assert_eq!(lines, expected);
        imports
    }

    #[test]
    fn a_use_and_a_path_are_imports() {
        let lib = "mod a; mod b; mod c;";
        let a = "use crate::b::{self, Table, inner::{Line as L}}; fn f() -> L { b::open(super::c::LIMIT) }";
        let b = "pub struct Table; pub fn open() {} pub mod inner { pub struct Line; }";
        let c = "pub const LIMIT: [u8; 2] = [1, 2];";
        check(&[("src/lib.rs", lib), ("src/a.rs", a), ("src/b.rs", b), ("src/c.rs", c)], &["a -> b: Line Table open", "a -> c: LIMIT"]);
    }

    #[test]
    fn a_re_export_counts_for_the_file_that_defines_the_name() {
        let lib = "mod a; pub mod b; pub use b::Deep; use std::fmt;";
        let a = "use crate::Deep; use crate::b::*; fn f(d: Deep) { other() }";
        let b = "mod deep; pub use deep::{Deep, other};";
        let deep = "pub struct Deep; pub fn other() {}";
        let files = [("src/lib.rs", lib), ("src/a.rs", a), ("src/b/mod.rs", b), ("src/b/deep.rs", deep)];
        check(&files, &["a -> b/deep: Deep other"]);
    }

    #[test]
    fn a_parent_that_declares_does_not_import_and_one_that_uses_does() {
        let uses = "mod a; pub use a::Name; pub struct Own; fn f() -> Name { a::make() }";
        let child = "pub struct Name; pub fn make() -> Name { Name } fn g(_: super::Own) {}";
        let both = check(&[("src/lib.rs", uses), ("src/a.rs", child)], &["a -> lib: Own", "lib -> a: Name make"]);
        assert_eq!(circles(&both).len(), 1);
        let declares = "mod a; pub use a::Name; pub struct Own;";
        let one = check(&[("src/lib.rs", declares), ("src/a.rs", child)], &["a -> lib: Own"]);
        assert_eq!(circles(&one), Vec::<BTreeSet<String>>::new());
    }

    #[test]
    fn tests_comments_and_strings_import_nothing() {
        let lib = "mod a; mod b;";
        let a = "// use crate::b::X;\nfn f() -> &'static str { \"crate::b::X\" }\n#[cfg(test)]\nmod tests { use crate::b::X; }\n\
                 #[cfg(test)] use crate::b::X;\nimpl A { #[cfg(test)] fn t() { crate::b::X; } }\npub struct A;";
        let b = "#[cfg(test)] mod b_tests; pub struct X; #[cfg(not(test))] fn f() { crate::a::A; }";
        check(&[("src/lib.rs", lib), ("src/a.rs", a), ("src/b.rs", b)], &["b -> a: A"]);
    }

    #[test]
    fn a_circle_of_three_files_is_found_and_named() {
        let lib = "mod a; mod b; mod c; mod d;";
        let (a, b, c) = ("use crate::b::B; pub struct A(B);", "use super::c::C; pub struct B(C);", "pub struct C; fn f(_: crate::a::A) {}");
        let files = [("src/lib.rs", lib), ("src/a.rs", a), ("src/b.rs", b), ("src/c.rs", c), ("src/d.rs", "use crate::a::A;")];
        let imports = check(&files, &["a -> b: B", "b -> c: C", "c -> a: A", "d -> a: A"]);
        let circles = circles(&imports);
        assert_eq!(circles.len(), 1);
        let text = "circle of 3 files\n  src/a.rs -> src/b.rs: B\n  src/b.rs -> src/c.rs: C\n  src/c.rs -> src/a.rs: A\n";
        assert_eq!(describe(&circles[0], &imports), text);
    }

    #[test]
    fn an_item_ends_where_rust_says() {
        let lib = "mod a; mod b;";
        let a = "const X: T = T { a: 1 }; const fn f<'a>(x: [u8; 2]) { use crate::b::In; } struct U; struct V(u8); macro_rules! m { () => {} }\n\
                 static S: fn() = crate::b::g; extern \"C\" { fn h(); } impl Drop for U {} type W = crate::b::In;";
        let b = "pub(crate) struct In; pub(super) const unsafe fn g() {} fn k() { crate::a::m!(); crate::a::V; crate::a::X; }";
        check(&[("src/lib.rs", lib), ("src/a.rs", a), ("src/b.rs", b)], &["a -> b: In g", "b -> a: V X m"]);
    }
}
