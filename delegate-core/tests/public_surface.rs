//! What programs that embed the delegate may rely on, written down: a change of it shows in a review.
//!
//! The public items of `agent`, `config`, `task` and the crate's root are read from the sources and compared with
//! `golden/public-surface.txt`. `UPDATE_GOLDEN=1` writes that file anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use syn::{Fields, ImplItem, Item, ItemImpl, UseTree, Visibility};

/// The modules that others may rely on; the others are public for this repository's own programs.
const STABLE: [&str; 3] = ["agent", "config", "task"];

/// A module: its items, and where the files of its children are.
struct Module {
    items: Vec<Item>,
    dir: PathBuf,
}

impl Module {
    fn of_file(file: &Path, dir: PathBuf) -> Self {
        let text =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self {
            items: syn::parse_file(&text).unwrap().items,
            dir,
        }
    }

    fn child(&self, name: &str) -> Self {
        let dir = self.dir.join(name);
        let files = [self.dir.join(format!("{name}.rs")), dir.join("mod.rs")];
        let file = files.iter().find(|file| file.exists());
        Self::of_file(
            file.unwrap_or_else(|| panic!("no file of module {name} in {}", self.dir.display())),
            dir,
        )
    }
}

fn is_pub(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The names a `pub use` brings out of a child module, as `(module, name, new name)`.
fn leaves(tree: &UseTree, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, String, String)>) {
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            leaves(&step.tree, path, out);
            path.pop();
        }
        UseTree::Name(name) => out.push((path.clone(), name.ident.to_string(), name.ident.to_string())),
        UseTree::Rename(name) => out.push((path.clone(), name.ident.to_string(), name.rename.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, path, out)),
        UseTree::Glob(_) => panic!("a glob in a `pub use` hides what it brings out"),
    }
}

/// Drops what users of an item do not see: bodies, private fields, documentation, attributes.
fn shown(mut item: Item) -> Option<Item> {
    let strip = |attrs: &mut Vec<syn::Attribute>| {
        attrs.retain(|attr| attr.path().is_ident("derive") || attr.path().is_ident("non_exhaustive"));
    };
    let fields = |fields: &mut Fields| {
        if let Fields::Named(named) = fields {
            named.named = std::mem::take(&mut named.named)
                .into_iter()
                .filter(|field| is_pub(&field.vis))
                .collect();
            named.named.iter_mut().for_each(|field| field.attrs.clear());
        }
    };
    match &mut item {
        Item::Struct(item) if is_pub(&item.vis) => {
            strip(&mut item.attrs);
            fields(&mut item.fields);
            if let Fields::Unnamed(tuple) = &mut item.fields {
                for field in tuple.unnamed.iter_mut().filter(|field| !is_pub(&field.vis)) {
                    field.ty = syn::parse_quote!(_);
                }
            }
        }
        Item::Enum(item) if is_pub(&item.vis) => {
            strip(&mut item.attrs);
            for variant in &mut item.variants {
                variant.attrs.clear();
                variant.fields.iter_mut().for_each(|field| field.attrs.clear());
            }
        }
        Item::Fn(item) if is_pub(&item.vis) => {
            item.attrs.clear();
            item.block.stmts.clear();
        }
        Item::Const(item) if is_pub(&item.vis) => {
            item.attrs.clear();
            // The entries of a table are no promise.
            if matches!(*item.expr, syn::Expr::Reference(_)) {
                *item.expr = syn::parse_quote!(_);
            }
        }
        Item::Type(item) if is_pub(&item.vis) => item.attrs.clear(),
        Item::Trait(item) if is_pub(&item.vis) => {
            strip(&mut item.attrs);
            for member in &mut item.items {
                if let syn::TraitItem::Fn(method) = member {
                    method.attrs.clear();
                    if let Some(body) = &mut method.default {
                        body.stmts.clear();
                    }
                }
            }
        }
        // Types that a macro of ours makes.
        Item::Macro(item) if item.mac.path.is_ident("checked_text") => item.attrs.clear(),
        _ => return None,
    }
    Some(item)
}

/// The public part of an `impl`: its public functions, or that the trait is implemented.
fn shown_impl(mut item: ItemImpl) -> Option<ItemImpl> {
    item.attrs.clear();
    if item.trait_.is_some() {
        item.items.clear();
        return Some(item);
    }
    item.items.retain_mut(|member| match member {
        ImplItem::Fn(method) if is_pub(&method.vis) => {
            method.attrs.clear();
            method.block.stmts.clear();
            true
        }
        ImplItem::Const(constant) if is_pub(&constant.vis) => {
            constant.attrs.clear();
            true
        }
        _ => false,
    });
    (!item.items.is_empty()).then_some(item)
}

fn name_of(item: &Item) -> Option<String> {
    match item {
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Fn(item) => Some(item.sig.ident.to_string()),
        Item::Const(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        // The name follows the documentation in its arguments.
        Item::Macro(item) if item.mac.path.is_ident("checked_text") => {
            let tokens = item.mac.tokens.to_string();
            let before = tokens.split(" ,").next()?;
            Some(before.rsplit(' ').next()?.to_owned())
        }
        _ => None,
    }
}

/// One item as text, with what is implemented for it in the whole tree of a module.
fn write_item(path: &str, item: Item, impls: &[ItemImpl], out: &mut BTreeSet<String>) {
    let Some(name) = name_of(&item) else { return };
    let is_macro = matches!(item, Item::Macro(_));
    let Some(item) = shown(item) else { return };
    let mut text = if is_macro {
        format!("pub struct {name}(_);\n")
    } else {
        prettyplease::unparse(&syn::File {
            shebang: None,
            attrs: Vec::new(),
            items: vec![item],
        })
    };
    for of_it in impls {
        let syn::Type::Path(this) = &*of_it.self_ty else {
            continue;
        };
        if this
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == name.as_str())
            && let Some(shown) = shown_impl(of_it.clone())
        {
            text.push_str(&prettyplease::unparse(&syn::File {
                shebang: None,
                attrs: Vec::new(),
                items: vec![Item::Impl(shown)],
            }));
        }
    }
    out.insert(format!("// {path}::{name}\n{text}"));
}

/// Whatever is implemented anywhere below a module; tests aside.
fn impls_below(module: &Module, out: &mut Vec<ItemImpl>) {
    for item in &module.items {
        match item {
            Item::Impl(item) => out.push(item.clone()),
            Item::Mod(child) if child.content.is_none() && !is_test(&child.attrs) => {
                impls_below(&module.child(&child.ident.to_string()), out);
            }
            _ => {}
        }
    }
}

fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs
        .iter()
        .any(|attr| matches!(&attr.meta, syn::Meta::List(list) if list.tokens.to_string() == "test"))
}

fn write_module(path: &str, module: &Module, impls: &[ItemImpl], out: &mut BTreeSet<String>) {
    for item in &module.items {
        match item {
            Item::Use(item) if is_pub(&item.vis) => {
                let mut found = Vec::new();
                leaves(&item.tree, &mut Vec::new(), &mut found);
                for (steps, name, shown_as) in found {
                    let from = steps.iter().fold(None, |at: Option<Module>, step| {
                        Some(at.as_ref().unwrap_or(module).child(step))
                    });
                    let Some(from) = from else { continue };
                    let item = from
                        .items
                        .into_iter()
                        .find(|item| name_of(item).as_deref() == Some(&*name));
                    let renamed = if shown_as == name {
                        path.to_owned()
                    } else {
                        format!("{path}::{shown_as} =")
                    };
                    match item {
                        Some(item) => write_item(&renamed, item, impls, out),
                        None => drop(out.insert(format!("// {path}::{shown_as}, of another module\n"))),
                    }
                }
            }
            Item::Mod(child) if is_pub(&child.vis) => {
                let name = child.ident.to_string();
                write_module(&format!("{path}::{name}"), &module.child(&name), impls, out);
            }
            item => write_item(path, item.clone(), impls, out),
        }
    }
}

fn surface() -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = Module::of_file(&src.join("lib.rs"), src);
    let mut out = BTreeSet::new();
    let secret = root.child("secret");
    let mut impls = Vec::new();
    impls_below(&secret, &mut impls);
    write_module("delegate_core", &secret, &impls, &mut out);
    for name in STABLE {
        let module = root.child(name);
        let mut impls = Vec::new();
        impls_below(&module, &mut impls);
        write_module(&format!("delegate_core::{name}"), &module, &impls, &mut out);
    }
    let mut text = String::new();
    for item in out {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{item}");
    }
    text
}

#[test]
fn the_public_surface_is_as_written_down() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/public-surface.txt");
    let surface = surface();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &surface).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    similar_asserts::assert_eq!(
        written,
        surface,
        "the public surface has changed: UPDATE_GOLDEN=1 writes it down, and the changelog tells users"
    );
}

#[test]
fn what_an_embedding_program_needs_is_in_it() {
    let surface = surface();
    for part in [
        "// delegate_core::Secret",
        "pub struct AgentBuilder",
        "pub fn transport",
        "pub trait TaskKind",
        "pub trait LogSink",
        "pub trait Recorder",
        "// delegate_core::config::DelegateConfig",
        "// delegate_core::config::AccountId",
    ] {
        assert!(surface.contains(part), "{part} is missing:\n{surface}");
    }
    assert!(!surface.contains("pub(super)"), "{surface}");
}
