//! Values of every kind that could matter to a reader, the same ones at every run.

/// A small random generator (SplitMix64): seeded, so that a failure comes again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// A text of `length` characters of `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &[char], length: usize) -> String {
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

/// Every printable ASCII character.
pub(crate) fn printable() -> Vec<char> {
    (' '..='~').collect()
}

/// Where in a value a character stands, as far as readers may care.
pub(crate) fn places(c: char) -> Vec<String> {
    let mut places = vec![c.to_string(), format!("{c}{c}")];
    places.extend(["", "a", ":", "=", "a:", "a=", "/", "-", "a,"].map(|before| format!("{before}{c}b")));
    places.extend([format!("a{c}"), format!("a {c}"), format!("a{c}="), format!("a{c}{c}b")]);
    places
}

/// Thousands of them.
pub(crate) fn generated(seed: u64) -> Vec<String> {
    let printable = printable();
    let mut values: Vec<String> = printable.iter().copied().flat_map(places).collect();
    for first in &printable {
        for second in &printable {
            values.extend([
                format!("{first}{second}"),
                format!("a{first}{second}b"),
                format!("{first}a{second}"),
            ]);
        }
    }
    values.extend(PARTICULAR.iter().map(|value| (*value).to_owned()));
    let mut random = Random(seed);
    let common: Vec<char> =
        printable.iter().copied().filter(|c| c.is_alphanumeric() || "._/+=:-~%@,!^".contains(*c)).collect();
    let wild: Vec<char> = printable
        .iter()
        .copied()
        .chain("\t\n\r\0\u{b}\u{1b}\u{7f}\u{85}\u{a0}éß漢\u{2028}\u{feff}🔑".chars())
        .collect();
    for alphabet in [&common, &printable, &wild] {
        for _ in 0..1500 {
            let length = 1 + random.below(64);
            values.push(random.text(alphabet, length));
        }
    }
    let plain: Vec<char> = common.iter().copied().filter(char::is_ascii_alphanumeric).collect();
    for length in (0..=40).chain(LENGTHS.iter().copied()) {
        values.push(random.text(&plain, length));
    }
    values
}

/// Around the sizes of buffers, up to that of the longest line that Docker reads, and beyond.
const LENGTHS: &[usize] = &[
    127,
    128,
    255,
    256,
    511,
    512,
    1023,
    1024,
    2047,
    2048,
    4094,
    4095,
    4096,
    4097,
    8191,
    8192,
    16_383,
    16_384,
    32_767,
    32_768,
    65_000,
    65_520,
    65_534,
    65_535,
    65_536,
    1 << 20,
];

/// What has bitten people, and what real credentials look like.
const PARTICULAR: &[&str] = &[
    "a=b",
    "a#b",
    " #",
    "a #b",
    "$x",
    "${x}",
    "$(id)",
    "`id`",
    "~",
    "~/x",
    "~root",
    "~+",
    "a:~",
    "a:~root/x",
    "a=~",
    "a=~/x",
    "a,~/x",
    "%self",
    "%1",
    "!!",
    "!x",
    "@x",
    ",",
    "'",
    "\"",
    "'a'",
    "\"a\"",
    "'a\"",
    "\\",
    "a\\",
    "\\n",
    "\\\\",
    "a\\nb",
    "'\\''",
    "a\nb",
    "a\r",
    "\r\n",
    "a\nB=c",
    "export",
    "export A=b",
    "null",
    "true",
    "yes",
    "0x10",
    "1e3",
    "-n",
    "-e",
    "--",
    "a\0b",
    "\u{feff}a",
    "é",
    "a\u{a0}",
    "*",
    "?",
    "[a]",
    "{a,b}",
    "a;b",
    "a&b",
    "a|b",
    "<a",
    ">a",
    "(a)",
    "=ls",
    "a:=ls",
    "==",
    "a==",
    "https://[::1]:8443/x?y=z&w=1#f",
    "https://contoso.azure-api.net:8443/a/b",
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0.c2ln-_",
    "AbC8Q~0123456789abcdefghijklmnopqrstuvw.x-Y_",
    "sv=2024-11-04&sig=a%2Bb%3D",
    "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKey=a+b/c=",
    "postgres://u:p%40ss@host:5432/db",
    "2026-11-24T14:00:00+01:00",
    "0123456789abcdef0123456789abcdef",
    "dGVzdA==",
    "user@contoso.com",
    "a,b,c",
    "50%",
    "100%!",
];
