//! How the documentation shows a provider: one with every shape that a schema can have. That the real provider's pages
//! are current is checked by `scripts/docs --check`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

#[path = "../support/golden.rs"]
mod golden;
#[path = "../../examples/docs/kinds.rs"]
mod kinds;
#[path = "../../examples/docs/pages.rs"]
mod pages;
#[path = "../../examples/docs/reference.rs"]
mod reference;
#[path = "../../examples/docs/snippets.rs"]
#[allow(dead_code, reason = "the program reads them from a folder")]
mod snippets;

use delegate_core::task::Registry;
use golden::assert_golden;
use harness_provider::framework::catalog::{Catalog, Content, Part};
use harness_provider::framework::prelude::*;
use harness_provider::framework::schema::{Block, BlockNesting};
use snippets::Snippets;

fn schema() -> Schema {
    let inner = Object::new()
        .attribute("path", Attribute::string().required().describe("Where."))
        .attribute(
            "kind",
            Attribute::string()
                .default("fast")
                .validate(Validator::one_of(["fast", "slow"]))
                .describe("How."),
        );
    let outer = Object::new()
        .attribute(
            "size",
            Attribute::number()
                .validate(Validator::between(1, 9))
                .describe("How large."),
        )
        .attribute("parts", Attribute::object_list(inner).describe("Of what."))
        .rule(Rule::required_with("parts", ["size"]))
        .rule(Rule::at_most_one_of(["size", "parts"]));
    Schema::new(0)
        .describe("A shelf.\n\nIt holds things.")
        .attribute(
            "name",
            Attribute::string()
                .required()
                .requires_replace()
                .describe("Its name."),
        )
        .attribute("disk", Attribute::object(outer).describe("A disk."))
        .attribute(
            "memory",
            Attribute::map(Type::list(Type::Bool)).deprecated("Use `disk`."),
        )
        .attribute(
            "key",
            Attribute::string()
                .sensitive()
                .write_only()
                .describe("Opens it,\nand closes it."),
        )
        .attribute("id", Attribute::string().computed().describe("Where it is."))
        .rule(Rule::exactly_one_of(["disk", "memory"]))
        .rule(Rule::conflicts_with("key", ["memory"]))
}

fn catalog() -> Catalog {
    let identity = IdentitySchema::new(0)
        .required("name", Type::String, "Its name.")
        .optional("row", Type::Number, "Its row.");
    let signature = Signature::returning(Type::set(Type::String))
        .describe("Sorts.", "Sorts what it is given.")
        .parameter(Parameter::new("by", Type::String, "What by.").allow_null())
        .variadic(Parameter::new("things", Type::String, "What."));
    Catalog {
        provider: Schema::new(0).describe("Shelves."),
        parts: vec![
            Part {
                name: "harness_shelf",
                content: Content::Resource(schema(), Some(identity)),
            },
            Part {
                name: "sort",
                content: Content::Function(signature),
            },
        ],
    }
}

fn snippets() -> Snippets {
    Snippets::default()
        .with("provider/provider.tf", "provider \"harness\" {}\n")
        .with(
            "resources/harness_shelf/resource.tf",
            "resource \"harness_shelf\" \"a\" {}\n",
        )
        .with(
            "resources/harness_shelf/import.sh",
            "terraform import harness_shelf.a a\n",
        )
        .with("resources/harness_shelf/import-by-identity.tf", "import {}\n")
        .with("functions/sort/function.tf", "locals {}\n")
        .with("modules/shelf/main.tf", "a module is no whole configuration\n")
        .with("shop/main.tf", "# A shop.\n# With shelves.\n\nlocals {}\n")
        .with("shop/outputs.tf", "output \"shop\" {}\n")
        .with("shop/annex/main.tf", "# An annex.\n")
}

#[test]
fn every_page_is_as_it_was_reviewed() {
    let pages = pages::all(&catalog(), &snippets()).expect("it can be shown");
    let text: String = pages
        .iter()
        .map(|(name, text)| format!("=== {name}\n{text}"))
        .collect();
    assert_golden("docs.md", &text);
}

#[test]
fn the_fields_of_a_task_kind_are_shown_with_their_paths_types_and_meanings() {
    let page = kinds::page(&Registry::standard()).expect("it can be shown");
    for row in [
        "## HTTP\n",
        "| `url` | text, required | Address,",
        "| `method` | `GET`, `HEAD`,",
        "| `secret_headers` | secret texts by name |",
        "| `retries.times` | integer, required |",
        "| `expect.status` | list of integer or text |",
        "| `from` | one of, required |",
        "| `from.tags.login.password` | secret text, required |",
        "| `scheme.semantic.bump` | `major`, `minor`, `patch`, `none`, `commits` |",
        "| `exit_code` | integer | The script's exit code;",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
    assert_eq!(kinds::PAGE, "guides/task-kinds.md");
}

#[test]
fn a_part_without_an_example_is_refused_with_the_file_to_write() {
    let mut catalog = catalog();
    catalog.parts.push(Part {
        name: "harness_box",
        content: Content::DataSource(Schema::new(0)),
    });
    let error = pages::all(&catalog, &snippets()).unwrap_err();
    assert_eq!(
        error,
        "harness_box has no example: write examples/data-sources/harness_box/data-source.tf"
    );
}

#[test]
fn a_block_is_refused_rather_than_left_out() {
    let mut catalog = catalog();
    catalog.provider = Schema::new(0).block("old", Block::new(BlockNesting::Group, Object::new()));
    assert!(
        pages::all(&catalog, &snippets())
            .unwrap_err()
            .starts_with("old is a block")
    );
}

#[test]
fn a_page_that_the_registry_would_not_take_is_refused() {
    let long = "x".repeat(500_001);
    let snippets = snippets().with("functions/sort/function.tf", &long);
    assert!(
        pages::all(&catalog(), &snippets)
            .unwrap_err()
            .contains("docs/functions/sort.md")
    );
}
