//! Exclusive XML canonicalization without comments (<https://www.w3.org/TR/xml-exc-c14n/>), for documents of elements,
//! attributes and text.

use roxmltree::{Attribute, Node};
use std::collections::BTreeMap;

/// How deep elements may lie in one another; an assertion needs ten. Without an end a document could use up the stack.
const DEPTH: usize = 64;

/// `node` in canonical form, without the element `left_out` in it. None where it is too deep, or a name cannot be read,
/// which no parsed document has.
pub(super) fn canonical(node: Node<'_, '_>, left_out: Option<Node<'_, '_>>) -> Option<String> {
    let mut out = String::new();
    element(node, left_out, &BTreeMap::new(), DEPTH, &mut out)?;
    Some(out)
}

/// `rendered`: the prefixes that are declared in the output so far, with their namespaces.
fn element<'a>(
    node: Node<'a, 'a>,
    left_out: Option<Node<'_, '_>>,
    rendered: &BTreeMap<&'a str, &'a str>,
    depth: usize,
    out: &mut String,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if left_out.is_some_and(|left_out| left_out.id() == node.id()) {
        return Some(());
    }
    let document = node.document().input_text();
    let name = qualified_name(node)?;
    let mut attributes: Vec<(Attribute<'_, '_>, &str)> = node
        .attributes()
        .map(|attribute| Some((attribute, document.get(attribute.range_qname())?)))
        .collect::<Option<_>>()?;
    attributes.sort_by_key(|(attribute, _)| (attribute.namespace().unwrap_or_default(), attribute.name()));

    // Only what the element's own name and its attributes' names use is declared.
    let mut used = BTreeMap::from([(prefix(name), node.tag_name().namespace().unwrap_or_default())]);
    for (attribute, name) in &attributes {
        if let Some(namespace) = attribute.namespace() {
            used.insert(prefix(name), namespace);
        }
    }
    out.push('<');
    out.push_str(name);
    let mut inner = rendered.clone();
    for (prefix, namespace) in used {
        // `xml` is never declared; no default namespace is the same as an empty one.
        let before = rendered.get(prefix).copied().or(prefix.is_empty().then_some(""));
        if prefix == "xml" || before == Some(namespace) {
            continue;
        }
        inner.insert(prefix, namespace);
        out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        out.push_str(prefix);
        out.push_str("=\"");
        value(namespace, out);
        out.push('"');
    }
    for (attribute, name) in attributes {
        out.push(' ');
        out.push_str(name);
        out.push_str("=\"");
        value(attribute.value(), out);
        out.push('"');
    }
    out.push('>');
    for child in node.children() {
        if child.is_element() {
            element(child, left_out, &inner, depth, out)?;
        } else if let Some(content) = child.text().filter(|_| child.is_text()) {
            text(content, out);
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
    Some(())
}

/// The name as it stands in the document, with its prefix: the parser keeps the namespace only.
fn qualified_name<'a>(node: Node<'a, 'a>) -> Option<&'a str> {
    let tag = node.document().input_text().get(node.range())?.strip_prefix('<')?;
    let end = tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))?;
    tag.get(..end)
}

fn prefix(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

/// Text as content.
pub(super) fn text(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
}

/// Text as an attribute's value.
pub(super) fn value(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    fn of(xml: &str) -> String {
        canonical(Document::parse(xml).unwrap().root_element(), None).unwrap()
    }

    #[test]
    fn names_attributes_and_escapes_are_in_their_canonical_form() {
        assert_eq!(of("<a  z='1' b = \"x&#9;&quot;&apos;>\"/>"), "<a b=\"x&#x9;&quot;'>\" z=\"1\"></a>");
        assert_eq!(of("<a>&gt;\r\n<![CDATA[<&]]>&#13;</a>"), "<a>&gt;\n&lt;&amp;&#xD;</a>");
        // By namespace, then by name; those without a namespace first.
        assert_eq!(
            of("<a xmlns:q='urn:1' xmlns:p='urn:2' p:x='1' q:y='2' z='3' q:a='4'/>"),
            "<a xmlns:p=\"urn:2\" xmlns:q=\"urn:1\" z=\"3\" q:a=\"4\" q:y=\"2\" p:x=\"1\"></a>"
        );
    }

    #[test]
    fn namespaces_are_declared_where_they_are_used() {
        assert_eq!(
            of(
                "<r xmlns='urn:d' xmlns:p='urn:p' xmlns:unused='urn:u'><p:a><p:b/></p:a><c xmlns=''/><p:d/></r>"
            ),
            "<r xmlns=\"urn:d\"><p:a xmlns:p=\"urn:p\"><p:b></p:b></p:a><c xmlns=\"\"></c>\
             <p:d xmlns:p=\"urn:p\"></p:d></r>"
        );
        assert_eq!(
            of("<p:a xmlns:p='1'><p:a xmlns:p='2'/></p:a>"),
            "<p:a xmlns:p=\"1\"><p:a xmlns:p=\"2\"></p:a></p:a>"
        );
        assert_eq!(of("<a xml:lang='en'/>"), "<a xml:lang=\"en\"></a>");
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        let canonical = |xml: &str| canonical(Document::parse(xml).unwrap().root_element(), None);
        assert!(canonical(&nested(DEPTH)).is_some());
        assert!(canonical(&nested(DEPTH + 1)).is_none());
    }

    #[test]
    fn a_part_can_be_taken_out_of_its_document_and_a_part_left_out() {
        let document =
            Document::parse("<r xmlns='urn:d' xmlns:p='urn:p'><p:a><b/> t <p:c/></p:a></r>").unwrap();
        let a = document
            .descendants()
            .find(|node| node.has_tag_name("a") || node.tag_name().name() == "a")
            .unwrap();
        let b = document.descendants().find(|node| node.tag_name().name() == "b");
        assert_eq!(canonical(a, b).unwrap(), "<p:a xmlns:p=\"urn:p\"> t <p:c></p:c></p:a>");
        assert_eq!(
            canonical(a, None).unwrap(),
            "<p:a xmlns:p=\"urn:p\"><b xmlns=\"urn:d\"></b> t <p:c></p:c></p:a>"
        );
    }
}
