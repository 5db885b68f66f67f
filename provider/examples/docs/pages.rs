//! Which page holds what: one a part, the provider's own, and one with the whole configurations.

use std::collections::BTreeMap;

use harness_provider::framework::catalog::{Catalog, Content, Part};
use harness_provider::framework::schema::{IdentitySchema, Schema};
use harness_provider::framework::traits::Signature;

use crate::reference;
use crate::snippets::Snippets;

/// The provider's page, below `docs`.
pub(crate) const INDEX: &str = "index.md";
/// The page of whole configurations, below `docs`.
pub(crate) const EXAMPLES: &str = "guides/examples.md";
/// The provider's name: the prefix of its types.
const PROVIDER: &str = "harness";
/// What the registry takes of one page, in bytes.
const LARGEST_PAGE: usize = 500_000;

/// Every page by its path below `docs`.
///
/// # Errors
/// One sentence a fault: a part without an example, a schema that cannot be shown, a page that is too large.
pub(crate) fn all(catalog: &Catalog, snippets: &Snippets) -> Result<BTreeMap<String, String>, String> {
    let mut pages = BTreeMap::new();
    pages.insert(INDEX.to_owned(), index(&catalog.provider, snippets)?);
    pages.insert(EXAMPLES.to_owned(), examples(snippets)?);
    for part in &catalog.parts {
        let kind = Kind::of(&part.content);
        let name = format!("{}/{}.md", kind.folder, short(part.name));
        pages.insert(name, page(part, &kind, snippets)?);
    }
    for (name, text) in &pages {
        if text.len() > LARGEST_PAGE {
            return Err(format!(
                "docs/{name} is larger than the {LARGEST_PAGE} bytes that the registry takes"
            ));
        }
    }
    Ok(pages)
}

/// How a kind of part is called, and where its page and its examples are.
struct Kind {
    title: &'static str,
    folder: &'static str,
    /// Its example, and every other file that ends so.
    file: &'static str,
}

impl Kind {
    fn of(content: &Content) -> Self {
        let (title, folder, file) = match content {
            Content::Resource(..) => ("Resource", "resources", "resource.tf"),
            Content::DataSource(_) => ("Data Source", "data-sources", "data-source.tf"),
            Content::EphemeralResource(_) => (
                "Ephemeral Resource",
                "ephemeral-resources",
                "ephemeral-resource.tf",
            ),
            Content::ListResource(_) => ("List Resource", "list-resources", "list-resource.tfquery.hcl"),
            Content::Action(_) => ("Action", "actions", "action.tf"),
            Content::Function(_) => ("Function", "functions", "function.tf"),
        };
        Self { title, folder, file }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix(PROVIDER)
        .and_then(|rest| rest.strip_prefix('_'))
        .unwrap_or(name)
}

fn page(part: &Part, kind: &Kind, snippets: &Snippets) -> Result<String, String> {
    let Kind { title, folder, file } = kind;
    let examples = format!("{folder}/{}", part.name);
    let path = format!("{examples}/{file}");
    let example = snippets
        .get(&path)
        .ok_or_else(|| format!("{} has no example: write examples/{path}", part.name))?;
    let example = format!("## Example Usage\n\n{}", fenced(&path, example));
    let sections = match &part.content {
        Content::Function(signature) => return Ok(function(part.name, signature, &example)),
        Content::Resource(schema, identity) => {
            let mut sections = body(schema, example)?;
            sections.extend(import(&examples, identity.as_ref(), snippets));
            return Ok(titled(part.name, title, schema, sections));
        }
        Content::DataSource(schema)
        | Content::EphemeralResource(schema)
        | Content::ListResource(schema)
        | Content::Action(schema) => (schema, body(schema, example)?),
    };
    let (schema, sections) = sections;
    Ok(titled(part.name, title, schema, sections))
}

fn body(schema: &Schema, example: String) -> Result<Vec<String>, String> {
    Ok(vec![example, reference::schema(schema.root())?])
}

fn titled(name: &str, title: &str, schema: &Schema, sections: Vec<String>) -> String {
    let head = front_matter(&format!("{name} {title} - {PROVIDER}"), schema.description());
    let mut all = vec![
        head,
        format!("# {name} ({title})\n"),
        paragraph(schema.description()),
    ];
    all.extend(sections);
    joined(all)
}

fn function(name: &str, signature: &Signature, example: &str) -> String {
    joined([
        front_matter(&format!("{name} function - {PROVIDER}"), signature.summary()),
        format!("# function: {name}\n"),
        paragraph(signature.description()),
        example.to_owned(),
        reference::function(name, signature),
    ])
}

fn index(schema: &Schema, snippets: &Snippets) -> Result<String, String> {
    const EXAMPLE: &str = "provider/provider.tf";
    let example = snippets
        .get(EXAMPLE)
        .ok_or_else(|| format!("the provider has no example: write examples/{EXAMPLE}"))?;
    Ok(joined([
        front_matter(&format!("{PROVIDER} Provider"), schema.description()),
        format!("# {PROVIDER} Provider\n"),
        paragraph(schema.description()),
        "Whole configurations are in the guide [Examples](guides/examples.md).\n".to_owned(),
        format!("## Example Usage\n\n{}", fenced(EXAMPLE, example)),
        reference::schema(schema.root())?,
    ]))
}

/// How an object that exists comes into a state: by command, by id, by identity.
fn import(examples: &str, identity: Option<&IdentitySchema>, snippets: &Snippets) -> Vec<String> {
    let snippet = |file: &str| {
        let path = format!("{examples}/{file}");
        snippets.get(&path).map(|text| fenced(&path, text))
    };
    let mut sections = Vec::new();
    if let Some(code) = snippet("import.sh") {
        sections.push(format!("By the command `terraform import`:\n\n{code}"));
    }
    if let Some(code) = snippet("import-by-string-id.tf") {
        sections.push(format!(
            "By an `import` block with the `id`, in Terraform 1.5 and newer:\n\n{code}"
        ));
    }
    if let Some(code) = snippet("import-by-identity.tf") {
        sections.push(format!(
            "By an `import` block with the `identity`, in Terraform and OpenTofu 1.12 and newer:\n\n{code}"
        ));
    }
    if sections.is_empty() {
        return sections;
    }
    sections.insert(0, "## Import\n".to_owned());
    sections.extend(identity.map(reference::identity));
    sections
}

/// Every whole configuration: what its head says of it, and the rest as it is.
fn examples(snippets: &Snippets) -> Result<String, String> {
    let mut all = vec![
        front_matter("Examples", "Whole configurations, from one delegate on this machine to many in a cluster."),
        "# Examples\n".to_owned(),
        "Whole configurations. Each is kept valid by a test that runs Terraform on it, and is to be copied.\n".to_owned(),
    ];
    for (folder, text) in snippets.configurations() {
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        if head.is_empty() {
            return Err(format!(
                "examples/{folder}/main.tf must begin with a comment that says what it is"
            ));
        }
        let said: Vec<&str> = head
            .iter()
            .map(|line| line.trim_start_matches(['#', ' ']))
            .collect();
        all.push(format!("## {folder}\n"));
        all.push(paragraph(&said.join("\n")));
        for (path, text) in snippets.in_folder(folder) {
            let file = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/');
            // A configuration below this one is one of its own.
            if file.contains('/') {
                continue;
            }
            let skipped = if file == "main.tf" { head.len() } else { 0 };
            let code: Vec<&str> = text.lines().skip(skipped).collect();
            all.push(format!("`{file}`:\n\n{}", fenced(path, &code.join("\n"))));
        }
    }
    Ok(joined(all))
}

/// The registry's front matter. The description is its first paragraph, without line breaks.
fn front_matter(title: &str, description: &str) -> String {
    let first = description
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ");
    format!("---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {first}\n---\n")
}

fn paragraph(text: &str) -> String {
    format!("{}\n", text.trim())
}

fn fenced(path: &str, code: &str) -> String {
    let language = if path.rsplit('.').next() == Some("sh") {
        "shell"
    } else {
        "terraform"
    };
    format!("```{language}\n{}\n```\n", code.trim())
}

fn joined(sections: impl IntoIterator<Item = String>) -> String {
    let sections: Vec<String> = sections.into_iter().collect();
    sections.join("\n")
}
