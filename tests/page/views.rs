//! What is asked of the page.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::browser::Browser;
use crate::documents;

/// The views: a name, width, height, and whether dark.
const VIEWS: [(&str, u32, u32, bool); 4] = [
    ("wide", 1280, 3000, false),
    ("phone", 390, 3000, false),
    ("dark", 1280, 3000, true),
    ("dark-phone", 390, 3000, true),
];

/// The cases of the page that is looked at: both quizzes, a known bug where it is, and a
/// long ladder.
const CASES: [&str; 5] =
    ["quiz1", "quiz2", "wake-up/epoll", "handshake/reset", "accept-queue/over-full"];

/// Where pictures are kept.
fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A page with everything on it.
fn everything(place: &Path) -> PathBuf {
    documents::put_everything_wrong(place);
    documents::page(place, &["matrix.json", "run/run.json"])
}

/// Nothing sticks out sideways, the console is silent, and nothing was fetched.
fn is_well(browser: &mut Browser, view: &str) {
    // A phone's innerWidth grows with what sticks out; the layout's width does not.
    let sizes = "(e => [e.scrollWidth, e.clientWidth])(document.documentElement)";
    let sizes = browser.value(sizes);
    let sizes: Vec<u64> = serde_json::from_value(sizes).expect("two numbers");
    let wide = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right \
                > document.documentElement.clientWidth && !e.closest('.scroll, pre')).slice(0, 3).map(e => e.outerHTML.slice(0, 120))";
    let (is, window) = (sizes[0], sizes[1]);
    assert!(is <= window, "{view}: {is} pixels in a window of {window}: {}", browser.value(wide));
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{view}: {complaints:#?}");
    assert_ne!(browser.value("document.title"), "taken", "{view}: a document's words were run");
}

/// Everything folded is unfolded.
const UNFOLD: &str = "for (const d of document.querySelectorAll('details')) d.open = true; 0";

pub fn whole_and_quiet(program: &Path, _: &Path) {
    let place = documents::run(&CASES);
    let page = everything(place.path());
    let mut browser = Browser::start(program);
    for (name, width, height, dark) in VIEWS {
        browser.look(width, height, dark);
        browser.open(&page, "");
        is_well(&mut browser, name);
        browser.picture(&pictures().join(format!("page-{name}.png")));
        browser.value("document.getElementById('quiz1').open = true; document.getElementById('mechanism:quiz1').open = true; document.getElementById('quiz1').scrollIntoView(); 0");
        browser.picture(&pictures().join(format!("case-{name}.png")));
        browser.value(UNFOLD);
        is_well(&mut browser, &format!("{name}, unfolded"));
        if name == "wide" {
            browser.print(&pictures().join("page.pdf"));
        }
    }
}

pub fn without_script(program: &Path, _: &Path) {
    let place = documents::run(&["quiz1/v4"]);
    let page = documents::page(place.path(), &["run/run.json"]);
    let mut browser = Browser::start(program);
    let off = serde_json::json!({ "value": true });
    browser.call("Emulation.setScriptExecutionDisabled", &off);
    browser.open(&page, "#quiz1:2");
    is_well(&mut browser, "no script");
    // The browser itself unfolds what a link leads to.
    assert_eq!(browser.value("document.getElementById('quiz1').open"), true);
    assert_eq!(browser.value("document.getElementById('the-filters').hidden"), true);
    assert_eq!(browser.value("document.querySelectorAll('.result').length"), 2);
}

pub fn filters_and_links(program: &Path, _: &Path) {
    let place = documents::run(&CASES);
    let page = everything(place.path());
    let mut browser = Browser::start(program);
    browser.open(&page, "#quiz2:1");
    assert_eq!(browser.value("document.getElementById('quiz2').open"), true);
    browser.value("location.hash = '#handshake/reset'; new Promise(r => setTimeout(r))");
    assert_eq!(browser.value("document.getElementById('handshake/reset').open"), true);
    let shown = "[...document.querySelectorAll('.case')].filter(c => !c.hidden).map(c => c.id)";
    let typed = |text: &str| {
        format!(
            "{{ const i = document.querySelector('input'); i.value = '{text}'; \
             i.dispatchEvent(new Event('input')); }} {shown}"
        )
    };
    let of = |value: Value| serde_json::from_value::<Vec<String>>(value).expect("ids");
    // The third is not called so: its words name the first.
    assert_eq!(of(browser.value(&typed("QUIZ"))), ["quiz1", "quiz2", "wake-up/epoll"]);
    assert_eq!(of(browser.value(&typed("quiz2"))), ["quiz2"]);
    // What a case says of itself is looked through, too.
    assert_eq!(of(browser.value(&typed("Embryonic_Reset"))), ["handshake/reset"]);
    assert_eq!(of(browser.value(&typed("no such case"))), [""; 0]);
    assert_eq!(of(browser.value(&typed(""))).len(), CASES.len());
    let failing = format!(
        "{{ const s = document.querySelector('select'); s.value = 'f'; \
         s.dispatchEvent(new Event('change')); }} {shown}"
    );
    let failing = of(browser.value(&failing));
    assert!(!failing.is_empty() && failing.len() < CASES.len(), "{failing:?}");
    is_well(&mut browser, "filtered");
}

pub fn fifteen_kernels(program: &Path, _: &Path) {
    let place = documents::every_case();
    documents::put_fifteen_kernels(place);
    let page = documents::page(place, &["fifteen.json"]);
    let bytes = std::fs::metadata(&page).expect("a page").len();
    assert!(bytes < 5_000_000, "{bytes} bytes");
    let mut browser = Browser::start(program);
    for (name, width, height, dark) in VIEWS {
        browser.look(width, height, dark);
        browser.open(&page, "");
        is_well(&mut browser, name);
        browser.picture(&pictures().join(format!("fifteen-{name}.png")));
        let took = browser.value(
            "(e => Math.round(e.loadEventEnd))(performance.getEntriesByType('navigation')[0])",
        );
        println!("{name}: {bytes} bytes, open after {took} ms");
    }
    browser.look(1280, 1000, false);
    browser.value(UNFOLD);
    is_well(&mut browser, "unfolded");
}

/// Text of drawings, which axe does not look at: its colour on its ground.
const FAINT_IN_LADDERS: &str = r"
(() => {
  const numbers = (c) => c.match(/[\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = numbers(c).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (numbers(c)[3] !== 0) return c;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('.ladder text')];
  const faint = texts.map((t) => [ratio(getComputedStyle(t).fill, ground(t)), t.textContent])
    .filter(([r]) => r < 4.5);
  const rects = [...document.querySelectorAll('.ladder rect')].map((r) => getComputedStyle(r).fill);
  for (const r of new Set(rects)) for (const t of texts) {
    const is = ratio(getComputedStyle(t).fill, r);
    if (is < 4.5) faint.push([is, 'marked: ' + t.textContent]);
  }
  return [texts.length, rects.length, faint.slice(0, 5)];
})()";

pub fn contrast_of_ladders(program: &Path, _: &Path) {
    let place = documents::run(&CASES);
    let page = everything(place.path());
    let mut browser = Browser::start(program);
    for dark in [false, true] {
        browser.look(1280, 1000, dark);
        browser.open(&page, "");
        browser.value(UNFOLD);
        let seen = browser.value(FAINT_IN_LADDERS);
        assert!(seen[0].as_u64() > Some(50), "no ladders were drawn: {seen}");
        assert!(seen[1].as_u64() > Some(0), "no line is marked: {seen}");
        assert_eq!(seen[2].as_array().map(Vec::len), Some(0), "dark: {dark}: {seen}");
    }
}

/// Colours are the scheme's and the layout is the width's, so that two views have all of them.
pub fn accessible_when_wide(program: &Path, axe: &Path) {
    accessible(program, axe, 1280, false);
}

pub fn accessible_on_a_dark_phone(program: &Path, axe: &Path) {
    accessible(program, axe, 390, true);
}

fn accessible(program: &Path, axe: &Path, width: u32, dark: bool) {
    let place = documents::run(&CASES);
    let page = everything(place.path());
    let tool = std::fs::read_to_string(axe).expect("axe-core");
    let mut browser = Browser::start(program);
    browser.look(width, 1000, dark);
    browser.open(&page, "");
    browser.value(&format!("{tool}; 0"));
    for unfold in [false, true] {
        if unfold {
            browser.value(UNFOLD);
        }
        let found = browser.value(
            "axe.run(document, { resultTypes: ['violations'] }).then(r => [r.passes.length, \
             r.violations.map(v => [v.id, v.help, v.nodes.length, \
             v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)])])",
        );
        let none = found[1].as_array().is_some_and(Vec::is_empty);
        assert!(none, "unfolded: {unfold}: {:#}", found[1]);
        assert!(found[0].as_u64() > Some(15), "only {} rules were looked at", found[0]);
    }
}
