//! What expressions come to, what is refused, and that nothing breaks reading them.

use indexmap::IndexMap;
use proptest::prelude::*;

use super::lexer::is_plain_name;
use super::*;
use crate::pipeline::source::Place;

struct Values(IndexMap<&'static str, Value>);

impl Scope for Values {
    fn look_up(&self, path: &[Segment<'_>]) -> Result<Value, String> {
        let names: Vec<_> = path.iter().map(|segment| segment.name).collect();
        let path = names.join(".");
        self.0
            .get(path.as_str())
            .cloned()
            .ok_or_else(|| format!("`{path}` is not known"))
    }
}

fn values() -> Values {
    let text = |text: &str| Value::Text(text.to_owned());
    Values(
        [
            ("v.env", text("prod")),
            ("v.tag", text("Release-1.2")),
            ("v.list", text("a,b,c")),
            ("v.three", Value::Number(3.0)),
            ("v.digits", text("10")),
            ("v.yes", text("true")),
            ("v.evil", text("x <+secrets.getValue(\"root\")>")),
            ("v.tail", text("+secrets.getValue('root')>")),
            ("v.a-b.c", text("odd")),
            ("v.secret", Value::Secret("<+secrets.getValue(\"s\")>".to_owned())),
            (
                "v.map",
                Value::Map([("k".to_owned(), Value::List(vec![text("x"), Value::Number(7.0)]))].into()),
            ),
        ]
        .into(),
    )
}

fn text(source: &str) -> Result<Text, SyntaxError> {
    Text::read(source.to_owned(), Place::default())
}

fn value(source: &str) -> Result<Value, String> {
    let text = text(source).map_err(|error| format!("{}: {error}", error.at))?;
    text.value(&values())
        .map_err(|error| format!("{}: {error}", error.at))
}

fn shown(source: &str) -> String {
    match value(source) {
        Ok(value) => value.to_text(),
        Err(error) => format!("error {error}"),
    }
}

#[test]
fn texts_come_to_what_the_guide_says() {
    for (source, expected) in [
        ("no expression, 1 < 2 > 0", "no expression, 1 < 2 > 0"),
        ("<+v.env>", "prod"),
        ("a-<+v.env>-<+ v.tag >b", "a-prod-Release-1.2b"),
        ("<+v.env>>out 2><+v.three>", "prod>out 2>3"),
        ("x=<+v.three>=5", "x=3=5"),
        ("<+v[\"a-b\"].c>", "odd"),
        ("<+v.map.k[1]>", "error 2: `v.map.k` is not known"),
        ("<+v.map[\"k\"]>", "error 2: `v.map.k` is not known"),
        ("<+v.map.get(\"k\").get(0)>", "x"),
        ("<+v.map.get(\"k\")[1]>", "7"),
        ("<+v.map>", "{\"k\":[\"x\",7]}"),
        // Operators.
        ("<+1 + 2 * 3 - 4 / 8>", "6.5"),
        ("<+(1 + 2) * 3 % 5>", "4"),
        ("<+-v.three + 1>", "-2"),
        ("<+0 * -1>", "0"),
        ("<+v.tag + \"-\" + v.three>", "Release-1.2-3"),
        ("<+v.digits + 1>", "101"),
        ("<+v.digits * 2>", "20"),
        ("<+v.digits == 10>", "true"),
        ("<+v.yes == true && !(v.env == \"dev\")>", "true"),
        ("<+v.env == null || v.env != \"prod\">", "false"),
        ("<+v.three > 2>", "true"),
        ("<+(v.three>=4)>", "false"),
        ("<+<+v.three> < 4>", "true"),
        ("<+v.digits > v.three>", "true"),
        ("<+\"b\" > \"a\">", "true"),
        ("<+v.tag =~ \"^Release-\\d\">", "true"),
        ("<+v.tag !~ \"^Release-\\d\">", "false"),
        ("<+<+v.env> == \"prod\" ? \"a\" : \"b\">", "a"),
        ("<+v.env == \"dev\" ? v.nothing : v.yes ? 1 : 2>", "1"),
        // Functions.
        ("<+v.tag.toLowerCase().replace(\"release-\", \"v\")>", "v1.2"),
        ("<+<+v.env>.concat(\"-\", v.three)>", "prod-3"),
        ("<+v.env.toUpperCase()>", "PROD"),
        ("<+\"  x \".trim()>", "x"),
        ("<+v.list.split(\",\")[1]>", "b"),
        ("<+v.list.split(\",\").size()>", "3"),
        ("<+v.list.split(\",\").join(\" \")>", "a b c"),
        ("<+v.list.split(\",\").contains(\"c\")>", "true"),
        ("<+v.list.split(\",\")>", "[\"a\",\"b\",\"c\"]"),
        ("<+v.tag.contains(\"1.2\")>", "true"),
        ("<+v.tag.startsWith(\"Rel\") && v.tag.endsWith(\"2\")>", "true"),
        ("<+v.tag.substring(8)>", "1.2"),
        ("<+\"äöü\".substring(1, 2)>", "ö"),
        ("<+\"äöü\".length()>", "3"),
        ("<+\"äöü\".indexOf(\"ü\")>", "2"),
        ("<+v.env.indexOf(\"x\")>", "-1"),
        ("<+\"a.b.c\".lastIndexOf(\".\")>", "3"),
        ("<+\"\".isEmpty()>", "true"),
        ("<+v.env.equals('prod')>", "true"),
        ("<+v.three.toString().concat(\"x\")>", "3x"),
        // Secrets are passed on.
        ("<+secrets.getValue(\"z\")>", "<+secrets.getValue(\"z\")>"),
        (
            "u:<+secrets.getValue( 'a#\"b' )>@h",
            "u:<+secrets.getValue('a#\"b')>@h",
        ),
        (
            "<+secrets.getValue(\"account.\" + v.env)>",
            "<+secrets.getValue(\"account.prod\")>",
        ),
        (
            "<+v.env == \"prod\" ? secrets.getValue(\"p\") : secrets.getValue(\"d\")>",
            "<+secrets.getValue(\"p\")>",
        ),
        (
            "<+v.secret>:<+v.secret>",
            "<+secrets.getValue(\"s\")>:<+secrets.getValue(\"s\")>",
        ),
        ("<+\"<+\"> is how it begins", "<+ is how it begins"),
    ] {
        assert_eq!(shown(source), expected, "{source}");
    }
}

#[test]
fn an_expression_alone_keeps_its_type() {
    assert_eq!(value("<+v.three>"), Ok(Value::Number(3.0)));
    assert_eq!(value(" <+v.three>"), Ok(Value::Text(" 3".to_owned())));
    assert_eq!(value("<+v.three > 2>"), Ok(Value::Truth(true)));
    assert_eq!(value(""), Ok(Value::Text(String::new())));
}

#[test]
fn what_does_not_read_or_has_no_value_is_refused_where_it_is() {
    for (source, said) in [
        ("x <+", "4: expected a name, a value or `(`, found the end"),
        (
            "x <+a.b",
            "7: expected an operator or the closing `>`, found the end",
        ),
        ("<+a.>", "4: expected a name after `.`, found `>`"),
        ("<+a b>", "4: expected an operator or the closing `>`, found `b`"),
        ("<+a = b>", "4: `=` has no meaning here; equality is written =="),
        ("<+a | b>", "4: `|` has no meaning here; `or` is written ||"),
        ("<+a & b>", "4: `&` has no meaning here; `and` is written &&"),
        ("<+\"a>", "2: a text without its closing \""),
        ("<+3a>", "2: a number with letters"),
        ("<+(1 + 2>", "9: expected a name, a value or `(`, found the end"),
        ("<+f(1)>", "3: expected an operator or the closing `>`, found `(`"),
        ("<+a ? b>", "expected `:`"),
        ("<+a.b(1,)>", "8: expected a name, a value or `(`, found `)`"),
        ("<+v.nothing>", "2: `v.nothing` is not known"),
        ("<+1 / 0>", "2: `/` by zero"),
        ("<+v.env * 2>", "2: `*` needs numbers, not a text"),
        ("<+!v.env>", "2: `!` needs true or false, not a text"),
        ("<+v.env ? 1 : 2>", "`?` needs true or false, not a text"),
        (
            "<+v.env < 3>",
            "`<` compares numbers, or texts, not a text with a number",
        ),
        (
            "<+null + 1>",
            "`+` adds numbers or joins texts, not null and a number",
        ),
        (
            "<+v.env.toLower()>",
            "a text has no function `toLower`; it has concat",
        ),
        (
            "<+v.env.substring()>",
            "the function is called as substring(from) or substring(from, to)",
        ),
        (
            "<+v.env.substring(2, 9)>",
            "`substring` of 2 to 9 in a text of 4 characters",
        ),
        (
            "<+v.env.substring(-1)>",
            "`substring` takes a whole number from 0",
        ),
        (
            "<+v.list.split(\",\")[3]>",
            "the list has 3 items, counted from 0; there is no item 3",
        ),
        (
            "<+v.list.split(\"\")>",
            "`split` needs a separator that is not empty",
        ),
        ("<+v.tag =~ \"(\">", "needs a regular expression on its right"),
        ("<+v.tag =~ \"(a{999}){999}\">", "or is too large"),
        ("<+null.trim()>", "null has no function `trim`"),
        // Secrets.
        ("<+v.secret + \"x\">", "`+` cannot look at a secret"),
        ("<+v.secret == \"x\">", "`==` cannot look at a secret"),
        ("<+v.secret.length()>", "`length` cannot look at a secret"),
        ("<+secrets.getValue()>", "secrets.getValue takes one name"),
        (
            "<+secrets.getValue(\"\")>",
            "secrets.getValue needs the name of a secret",
        ),
        (
            "<+secrets.getValue(3)>",
            "secrets.getValue takes a name as a text, not a number",
        ),
        ("<+secrets.getvalue(\"x\")>", "is not known"),
        ("<+v.evil>", "the value holds `<+secrets.`"),
        ("a <+v.evil>", "the value holds `<+secrets.`"),
        ("<<+v.tail>", "the value holds `<+secrets.`"),
        ("<+v.secret><<+v.tail>", "the value holds `<+secrets.`"),
        ("<+\"<+secrets.getValue('x')>\">", "the value holds `<+secrets.`"),
        ("<+v.evil.split(\" \")>", "the value holds `<+secrets.`"),
    ] {
        let told = shown(source);
        assert!(
            told.starts_with("error ") && told.contains(said),
            "{source}: {told}"
        );
    }
}

#[test]
fn everything_is_bounded() {
    for (source, said) in [
        (
            format!("<+{}1{}>", "(".repeat(40), ")".repeat(40)),
            "more than 32 parentheses",
        ),
        (format!("<+{}true>", "!".repeat(40)), "more than 32 parentheses"),
        (
            format!("<+{}1>", "1 ? 1 : ".repeat(40)),
            "more than 32 parentheses",
        ),
        (format!("<+1{}>", " + 1".repeat(200)), "more than 256 parts"),
        (format!("<+1{}>", " ".repeat(10_000)), "longer than 8192 bytes"),
        (
            format!("<+\"{}\" x>", "a".repeat(10_000)),
            "longer than 8192 bytes",
        ),
        (
            format!(
                "<+\"{}\"{}>",
                "a".repeat(100),
                ".replace(\"a\", \"aaaaaaaaaa\")".repeat(5)
            ),
            "the text is longer than 262144 bytes",
        ),
        (
            format!(
                "<+\"{}\".replace(\"a\", \"aaaaaaaaaa\").replace(\"a\", \"aaaaaaaaaa\").split(\"a\")>",
                "a".repeat(101)
            ),
            "the list is longer than 10000",
        ),
    ] {
        let told = shown(&source);
        assert!(
            told.contains(said),
            "{}…: {told}",
            &source[..40.min(source.len())]
        );
    }
}

#[test]
fn conditions_are_true_or_false() {
    let holds = |source: &str| {
        let condition =
            Condition::read(source.to_owned(), Place::default()).map_err(|error| error.to_string())?;
        condition.holds(&values()).map_err(|error| error.to_string())
    };
    assert_eq!(holds("<+v.env> == \"prod\""), Ok(true));
    assert_eq!(holds("<+v.three> > 3 || <+v.yes>"), Ok(true));
    assert_eq!(holds("v.three>3"), Ok(false));
    assert_eq!(holds("<+v.yes>"), Ok(true));
    assert!(
        holds("<+v.env>")
            .unwrap_err()
            .contains("a condition is true or false, not a text")
    );
    assert!(holds("").unwrap_err().contains("found the end"));
    assert!(
        holds("true true")
            .unwrap_err()
            .contains("expected an operator or the end")
    );
}

#[test]
fn what_is_kept_is_what_was_written() {
    let text = text("a <+v.env> b").unwrap();
    let kept = serde_json::to_string(&text).unwrap();
    assert_eq!(serde_json::from_str::<Text>(&kept).unwrap(), text);
    assert!(serde_json::from_str::<Text>(&kept.replace("v.env", "v.")).is_err());
}

#[test]
fn only_secrets_leave_a_text_closed() {
    assert!(!text("a <+secrets.getValue(\"x\")>").unwrap().is_open());
    assert!(text("<+secrets.getValue(v.x)>").unwrap().is_open());
    assert!(text("<+v.env>").unwrap().is_open());
}

fn expressions() -> impl Strategy<Value = Expr> {
    let name = || prop::sample::select(vec!["a", "steps", "x_1", "$v"]);
    let leaf = prop_oneof![
        Just(Kind::Null),
        any::<bool>().prop_map(Kind::Truth),
        (0u32..100_000, 0u8..4)
            .prop_map(|(number, digits)| { Kind::Number(f64::from(number) / 10f64.powi(digits.into())) }),
        any::<f64>().prop_filter_map("a number", |number| {
            let number = number.abs();
            (number.is_finite() && (1e-20..1e20).contains(&number)).then_some(Kind::Number(number))
        }),
        "[a-z\"'\\\\ \n\t<+>é]{0,12}".prop_map(Kind::Text),
        name().prop_map(|name| Kind::Name(name.to_owned())),
    ]
    .prop_map(|kind| kind.at(0));
    leaf.prop_recursive(5, 40, 3, move |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let operator = prop::sample::select(Operator::ALL.to_vec());
        prop_oneof![
            (boxed.clone(), name()).prop_map(|(of, name)| Kind::Member(of, name.to_owned())),
            (boxed.clone(), boxed.clone()).prop_map(|(of, index)| Kind::Index(of, index)),
            (boxed.clone(), name(), prop::collection::vec(inner, 0..3))
                .prop_map(|(of, name, arguments)| Kind::Call(of, name.to_owned(), arguments)),
            boxed.clone().prop_map(Kind::Not),
            boxed.clone().prop_map(Kind::Negate),
            (operator, boxed.clone(), boxed.clone())
                .prop_map(|(operator, left, right)| Kind::Binary(operator, left, right)),
            (boxed.clone(), boxed.clone(), boxed).prop_map(|(a, b, c)| Kind::Choose(a, b, c)),
        ]
        .prop_map(|kind| kind.at(0))
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(expression in expressions()) {
        let printed = expression.to_string();
        prop_assert_eq!(&parser::whole(&printed).map_err(|error| TestCaseError::fail(format!("{error}: {printed}")))?, &expression);
        let within = format!("a<+{printed}>b");
        let (read, end) = parser::embedded(&within, 1).map_err(|error| TestCaseError::fail(format!("{error}: {within}")))?;
        prop_assert_eq!(&read, &expression);
        prop_assert_eq!(end, within.len() - 1);
    }

    #[test]
    fn any_expression_ends_in_a_value_or_an_error(expression in expressions()) {
        if let Ok(value) = evaluate(&expression, &values()) {
            prop_assert!(value.to_text().len() <= 4 * MAX_TEXT_BYTES);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(source in r#"([a-z<+>"'() é.,\[\]?:!=&|*/%0-9-]|<\+|v\.env|secrets\.getValue\(){0,40}"#) {
        match text(&source) {
            Ok(text) => { let _ = text.value(&values()); }
            Err(error) => prop_assert!(source.is_char_boundary(error.at) && error.at <= source.len()),
        }
        if let Err(error) = parser::whole(&source) {
            prop_assert!(source.is_char_boundary(error.at) && error.at <= source.len());
        }
    }

    #[test]
    fn a_text_without_an_opening_stands_for_itself(source in "[a-z<> ]{0,40}") {
        prop_assert_eq!(shown(&source), source);
    }

    /// No value from outside, whatever it is, makes a reference that the file does not have.
    #[test]
    fn no_value_brings_a_reference(outside in r#"(<|\+|<\+|secrets\.|<\+secrets\.|getValue\("x"\)>|[a-z"']){0,12}"#) {
        let scope = Values([("v", Value::Text(outside))].into());
        for (source, references) in [("<+v>", 0), ("<<+v>", 0), ("<+v>ecrets.", 0), ("<+secrets.getValue('a')><+v>", 1), ("<+v><+v>", 0)] {
            if let Ok(value) = text(source).unwrap().value(&scope) {
                prop_assert_eq!(value.to_text().matches(SECRET_BEGINNING).count(), references);
            }
        }
    }
}

#[test]
fn names_that_are_none_are_printed_in_brackets() {
    let odd = Kind::Member(Box::new(Kind::Name("a".to_owned()).at(0)), "b-c".to_owned()).at(0);
    assert_eq!(odd.to_string(), "a[\"b-c\"]");
    assert!(!is_plain_name("b-c") && !is_plain_name("") && is_plain_name("null"));
}
